"""`doctor`: what this machine, the installed renderers and the endpoint can do, without loading any of it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ValidationError

from pipeline.adapters.model_files import ModelCache, load_lock
from pipeline.adapters.shipped import shipped
from pipeline.adapters.voices import load_voices
from pipeline.adapters.weights import WeightOptions
from pipeline.contracts.render import ReadsLanguages, RendererOptions, RendererPlugin, Voice
from pipeline.execution.checking import ADDRESS_VARIABLE
from pipeline.execution.diagnosis_files import look_at_model, look_at_room, look_at_weights, nearest
from pipeline.execution.fact import Fact
from pipeline.execution.licences import list_known_models
from pipeline.execution.project import ENTRY_POINTS, Project, find_renderer
from pipeline.values.addresses import is_local
from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality
from pipeline.values.units import Bytes, Seconds
from pipeline.values.words import say_count
from pipeline.values.writer import Writer

ENDPOINT_PATIENCE: Seconds = 5.0
DEFAULT_KEY = "OPENAI_API_KEY"
SUPPORTED_PYTHON = ((3, 11), (3, 12))

LEAST_DISK: Bytes = 5 * 10**9
"""Room for the models of the demo and a small corpus."""

LEAST_MEMORY: Bytes = 4 * 10**9
"""What the demo takes: Ray's processes, a language model of 1.5 billion parameters in four bits, a neural voice."""

LEAST_SHARED_MEMORY: Bytes = 110 * 2**20
"""Ray's object store as we start it, with some room."""


MODELS_A_LINE = 10


def diagnose(project: Project | None, cache: ModelCache) -> Iterator[Fact]:
    """Look at everything, or at what a manifest needs only."""
    yield from _look_at_machine(cache.root if project is None else project.corpus)
    yield _look_at_package("ray", "ray", "pip install 'ray[default]'")
    if project is None:
        yield from _look_at_all_renderers(cache)
        yield from _look_at_licences()
        yield _look_at_engine("note")
        yield from (look_at_model(name, cache, "note") for name in load_lock().models)
        yield from _look_at_all_voices(load_voices(shipped("manifests", "voices.yaml")))
        yield _look_at_key(DEFAULT_KEY, "note")
    else:
        for modality in project.manifest.media:
            yield _look_at_renderer(project.plugin(modality), project.options(modality), "problem")
        if project.manifest.writer.engine == "embedded":
            yield _look_at_engine("problem")
        yield from (look_at_model(name, cache, "problem") for name in project.model_names())
        yield from _look_at_casting(project)
        yield from _look_at_endpoint(project)
        yield from _look_for_media_keys(project)
    yield from look_at_room(models_of(project), cache, "note" if project is None else "problem")
    yield from _look_at_gpus(_gpus_wanted(project))


def models_of(project: Project | None) -> list[str]:
    """Names of the locked models that are looked at, and that ``--fetch`` fetches."""
    return list(load_lock().models) if project is None else project.model_names()


def _look_at_machine(room: Path) -> Iterator[Fact]:
    import psutil

    found = ".".join(map(str, sys.version_info[:3]))
    is_known = sys.version_info[:2] in SUPPORTED_PYTHON
    advice = "" if is_known else "use Python 3.11 or 3.12: this is what it is tested with"
    yield Fact(area="machine", name="python", state="ok" if is_known else "problem", text=found, advice=advice)
    yield Fact(area="machine", name="platform", state="ok", text=f"{platform.system()} {platform.machine()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slow = "" if cores > 1 else "it works and takes its time: writing and rendering take turns"
    yield Fact(area="machine", name="cores", state="ok" if cores > 1 else "note", text=str(cores), advice=slow)
    memory = psutil.virtual_memory()
    yield _judge_room("memory", memory.available, memory.total, LEAST_MEMORY, "close other programs")
    room = nearest(room)
    disk = shutil.disk_usage(room)
    yield _judge_room(f"disk at {room}", disk.free, disk.total, LEAST_DISK, "make room, or put the corpus elsewhere")
    shared = Path("/dev/shm")
    if shared.is_dir():
        usage = shutil.disk_usage(shared)
        advice = "Ray goes to /tmp instead; in a container, start it with --shm-size=1g"
        yield _judge_room(str(shared), usage.free, usage.total, LEAST_SHARED_MEMORY, advice)


def _judge_room(name: str, free: Bytes, total: Bytes, least: Bytes, advice: str) -> Fact:
    text = f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB free"
    if free >= least:
        return Fact(area="machine", name=name, state="ok", text=text)
    return Fact(area="machine", name=name, state="note", text=f"{text}, {least / 1e9:.1f} GB are wanted", advice=advice)


def _look_at_package(package: str, module: str, install: str, state: Literal["note", "problem"] = "problem") -> Fact:
    """Look for a package without importing it."""
    if importlib.util.find_spec(module) is None:
        return Fact(area="packages", name=package, state=state, text="not installed", advice=install)
    try:
        return Fact(area="packages", name=package, state="ok", text=version(package))
    except PackageNotFoundError:
        return Fact(area="packages", name=package, state="ok", text="installed, version unknown")


def _look_at_engine(state: Literal["note", "problem"]) -> Fact:
    return _look_at_package("cyllama", "cyllama", "for embedded models: pip install 'anyinstruct[embedded]'", state)


def _look_at_all_renderers(cache: ModelCache) -> Iterator[Fact]:
    for name in sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)}):
        try:
            plugin = find_renderer(name)
            options = plugin.options()
        except ValidationError as exc:
            keys = ", ".join(".".join(map(str, error["loc"])) for error in exc.errors(include_url=False))
            problem = plugin.missing()
            what = f"{_say_purpose(plugin)}{plugin.modality}; needs options: {keys}"
            text = what + (f"; {problem}" if problem else "")
            yield Fact(area="renderers", name=name, state="note" if problem else "ok", text=text)
        except (ManifestError, ImportError, AttributeError, RuntimeError, OSError, ValueError, TypeError) as exc:
            # A stranger's plug-in that cannot be loaded must not hide the others.
            text = f"cannot be loaded: {type(exc).__name__}: {exc}"
            advice = "install its package again, or remove it"
            yield Fact(area="renderers", name=name, state="problem", text=text, advice=advice)
        else:
            yield _look_at_renderer(plugin, options, "note", cache)


def _look_at_licences() -> Iterator[Fact]:
    """Tell the licence of every model that was looked up, some models a line."""
    for group in list_known_models():
        use = "commercial use allowed" if group.is_commercial_use_allowed else "NO commercial use"
        for start in range(0, len(group.models), MODELS_A_LINE):
            models = ", ".join(group.models[start : start + MODELS_A_LINE])
            text = f"{group.licence}, {use}: {models}"
            yield Fact(area="licences", name=group.renderer, state="ok", text=text)


def _say_purpose(plugin: RendererPlugin) -> str:
    """What a renderer is for, as the first line of its class says it."""
    line = (inspect.getdoc(type(plugin)) or "").partition("\n")[0].rstrip(".")
    return f"{line}; " if line else ""


def _look_at_renderer(
    plugin: RendererPlugin,
    options: RendererOptions,
    state: Literal["note", "problem"],
    cache: ModelCache | None = None,
) -> Fact:
    facts = [f"{_say_purpose(plugin)}{plugin.modality}", f"version {plugin.version}"]
    if plugin.is_draft:
        facts.append("DRAFT, to look at and not to train on")
    licences = [f"{name} {licence}" for name, licence in plugin.licences(options).items()]
    facts.append(f"licences: {', '.join(licences)}" if licences else "no models, no licences")
    if not plugin.is_commercial_use_allowed(options):
        facts.append("no commercial use")
    absent = [name for name in plugin.models(options) if cache is not None and cache.check(name) is not None]
    problem = plugin.missing()
    if problem is not None:
        return Fact(area="renderers", name=plugin.name, state=state, text="; ".join(facts), advice=problem)
    if absent:
        advice = f"fetch {', '.join(absent)}: anyinstruct doctor --fetch"
        return Fact(area="renderers", name=plugin.name, state=state, text="; ".join(facts), advice=advice)
    told = look_at_weights(options) if isinstance(options, WeightOptions) else None
    if told is None:
        return Fact(area="renderers", name=plugin.name, state="ok", text="; ".join(facts))
    return told.model_copy(update={"name": plugin.name, "text": "; ".join([*facts, told.text])})


def _look_at_all_voices(voices: Mapping[str, Voice]) -> Iterator[Fact]:
    by_renderer: dict[str, Counter[str]] = {}
    for voice in voices.values():
        by_renderer.setdefault(voice.renderer, Counter()).update(voice.languages)
    for renderer, languages in sorted(by_renderer.items()):
        count = sum(voice.renderer == renderer for voice in voices.values())
        text = ", ".join(f"{tag} {number}" for tag, number in languages.most_common())
        yield Fact(area="voices", name=renderer, state="ok", text=f"{say_count(count, 'voice')}: {text}")


def _look_at_casting(project: Project) -> Iterator[Fact]:
    casting = project.casting
    if casting is None:
        return
    plugin, language = project.plugin(Modality.SPEECH), project.manifest.language
    if isinstance(plugin, ReadsLanguages) and (
        problem := plugin.missing_for(project.options(Modality.SPEECH), language)
    ):
        yield Fact(area="voices", name=language, state="problem", text=f"{plugin.name} cannot read it", advice=problem)
    for role, voices in (("user", list(casting.pool.values())), ("assistant", [casting.assistant])):
        tags = Counter(tag for voice in voices for tag in voice.languages)
        licences = ", ".join(sorted({voice.licence for voice in voices}))
        text = f"{say_count(len(voices), 'voice')} ({', '.join(f'{t} {n}' for t, n in tags.most_common())}), {licences}"
        yield Fact(area="voices", name=role, state="ok", text=text)


def _look_at_key(variable: str, state: Literal["note", "problem"]) -> Fact:
    """Say whether a key is set. It is never shown."""
    if os.environ.get(variable):
        return Fact(area="endpoint", name=f"${variable}", state="ok", text="is set")
    advice = f"export {variable}=… to call an endpoint that wants a key"
    return Fact(area="endpoint", name=f"${variable}", state=state, text="is not set", advice=advice)


def _look_at_endpoint(project: Project) -> Iterator[Fact]:
    writer = project.manifest.writer
    if writer.engine != "openai":
        return
    # A server of one's own mostly wants no key; the official one always does.
    yield _look_at_key(writer.api_key_env, "problem" if writer.base_url is None else "note")
    yield _ask_endpoint(writer)
    if project.unpriced:
        text = f"nobody stated what {', '.join(project.unpriced)} costs, so spend cannot be told"
        yield Fact(area="endpoint", name="price", state="note", text=text, advice="state writer.price in the manifest")


def _look_for_media_keys(project: Project) -> Iterator[Fact]:
    for problem in project.missing_media_keys.values():
        where, _, text = problem.partition(": ")
        text, _, advice = text.partition("; ")
        yield Fact(area="endpoint", name=where, state="problem", text=text, advice=advice)


def _ask_endpoint(writer: Writer) -> Fact:
    """Ask for the list of models, which costs nothing. Error texts may echo the key, so only their kind is told."""
    import openai

    key = os.environ.get(writer.api_key_env) or "none"
    where = _without_credentials(writer.base_url or os.environ.get(ADDRESS_VARIABLE) or "https://api.openai.com/v1")
    try:
        _ = urlsplit(writer.base_url or "").port  # a ValueError here is an error of the client's own kind there
        with openai.OpenAI(api_key=key, base_url=writer.base_url, timeout=ENDPOINT_PATIENCE, max_retries=0) as client:
            names = [model.id for model in client.models.list().data]
    except (openai.AuthenticationError, openai.PermissionDeniedError) as exc:
        advice = f"check the key in ${writer.api_key_env}"
        text = f"refuses the key ({exc.status_code})"
        return Fact(area="endpoint", name=where, state="problem", text=text, advice=advice)
    except openai.APIStatusError as exc:
        text = f"is there and gives no list of models ({exc.status_code})"
        return Fact(area="endpoint", name=where, state="note", text=text, advice="see with `anyinstruct run --limit 1`")
    except openai.APITimeoutError:
        text = f"did not answer within {ENDPOINT_PATIENCE:g} s"
        return Fact(area="endpoint", name=where, state="problem", text=text, advice=advise_on(writer))
    except (openai.OpenAIError, ValueError, AttributeError, TypeError) as exc:
        text = f"cannot be reached or is no such endpoint ({type(exc).__name__})"
        return Fact(area="endpoint", name=where, state="problem", text=text, advice=advise_on(writer))
    wanted = [entry.model for entry in writer.blend]
    unknown = [model for model in wanted if model not in names]
    if not unknown:
        return Fact(area="endpoint", name=where, state="ok", text=f"is there and lists {', '.join(wanted)}")
    text = f"is there and does not list {', '.join(unknown)} among {say_count(len(names), 'model')}"
    return Fact(area="endpoint", name=where, state="note", text=text, advice="check writer.model")


def advise_on(writer: Writer) -> str:
    """Return what may help where an endpoint is not reached: only a server of one's own can be started."""
    stated, variable = writer.base_url, os.environ.get(ADDRESS_VARIABLE)
    address = stated or variable
    if address is None:
        return "check the network, a proxy (HTTPS_PROXY) or firewall on the way to it"
    source = "writer.base_url" if stated else f"${ADDRESS_VARIABLE}"
    if is_local(address):
        return f"start the server, or correct {source}"
    return f"check {source}, the network, and whether the server is up"


def _without_credentials(url: str) -> str:
    """Drop ``user:password@`` and whatever follows ``?``: neither belongs on a screen."""
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}{found}{host.rpartition('@')[2]}{slash}{path}"


def _gpus_wanted(project: Project | None) -> float:
    if project is None or project.manifest.execution.address is not None:
        return 0.0  # a cluster's GPUs are elsewhere
    sections = [project.manifest.render.section(Modality(modality)) for modality in project.manifest.media]
    return sum(section.actors.min * section.num_gpus for section in sections if section is not None)


def _look_at_gpus(wanted: float) -> Iterator[Fact]:
    gpus = _list_gpus()
    for index, text in enumerate(gpus):
        yield Fact(area="gpu", name=f"GPU {index}", state="ok", text=text)
    if wanted > len(gpus):
        many = "GPU" if wanted == 1 else "GPUs"
        text = f"the manifest's renderers reserve {wanted:g} {many}, of which there are {len(gpus)} here"
        advice = "lower render.*.num_gpus or actors, or name a cluster in execution.address"
        yield Fact(area="gpu", name="GPUs", state="problem", text=text, advice=advice)
    elif not gpus:
        yield Fact(area="gpu", name="GPUs", state="ok", text="none (the embedded models need none)")
    if importlib.util.find_spec("torch") is not None:
        yield _look_at_package("torch", "torch", "", "note")


def _list_gpus() -> Sequence[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    fields = "--query-gpu=name,memory.total,memory.free,driver_version"
    try:
        command = [program, fields, "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if answer.returncode != 0:
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]
    return [f"{row[0]}, {row[1]}, {row[2]} free, driver {row[3]}" for row in rows if len(row) == 4]
