// One player at a time; the space bar plays a dialogue from its first player to its last.

/** @type {HTMLAudioElement|null} */
let current = null;
let goesOn = false;

/** @param {HTMLElement} place Where the players are. */
export function watchPlayers(place) {
  // These events do not bubble, hence the capture.
  place.addEventListener("play", (event) => hold(/** @type {HTMLAudioElement} */ (event.target), place), true);
  place.addEventListener("ended", () => goesOn && playAfter(place), true);
}

/** @param {HTMLElement} place */
export function playOrPause(place) {
  if (current && place.contains(current) && !current.paused) {
    goesOn = false;
    current.pause();
    return;
  }
  goesOn = true;
  if (current && place.contains(current) && !current.ended) start(current);
  else playAfter(place);
}

/** Stops what plays, since another dialogue is shown. */
export function silence() {
  current?.pause();
  current = null;
  goesOn = false;
}

/** @param {HTMLAudioElement} player @param {HTMLElement} place */
function hold(player, place) {
  for (const other of place.querySelectorAll("audio")) if (other !== player) other.pause();
  current = player;
}

/** Plays the player after the current one; after the last, nothing, and then the first again. @param {HTMLElement} place */
function playAfter(place) {
  const players = [...place.querySelectorAll("audio")];
  const next = players[current ? players.indexOf(current) + 1 : 0];
  if (next) {
    next.currentTime = 0;
    start(next);
  } else {
    current = null;
    goesOn = false;
  }
}

/** @param {HTMLAudioElement} player */
function start(player) {
  player.scrollIntoView({ block: "nearest" });
  // What cannot be played says so in its place.
  player.play().catch(() => undefined);
}
