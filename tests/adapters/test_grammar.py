from __future__ import annotations

import pytest

from pipeline.adapters.llm.grammar import Grammar, State

SPACED = r"""
root ::= "{" space text-kv "," space tags-kv "}" space
text-kv ::= "\"text\"" space ":" space string
tags-kv ::= "\"tags\"" space ":" space "[" space (tag ("," space tag){0,1})? "]" space
string ::= "\"" char{2,4} "\"" space
tag ::= ("\"glad\"" | "\"sad\"") space
char ::= [^"\\\x7F\x00-\x1F] | [\\] (["\\bfnrt] | "u" [0-9a-fA-F]{4})
space ::= | " " | "\n"{1,2} [ \t]{0,20}
"""


def walk(grammar: Grammar, text: str) -> State | None:
    return grammar.walk(grammar.start, text)


@pytest.mark.parametrize(
    "text",
    [
        '{"text":"ab","tags":[]}',
        '{"text":"abcd","tags":["glad"]}',
        '{"text":"ä日","tags":["sad","glad"]}',
        r'{"text":"\"\n","tags":[]}',
    ],
)
def test_whole_answers_are_complete(text: str) -> None:
    state = walk(Grammar(SPACED), text)
    assert state is not None
    assert state.is_complete
    assert state.stacks == ()


@pytest.mark.parametrize(
    "text",
    [
        '{ "text"',  # white space is left out
        '{"text":"a"',  # too short
        '{"text":"abcde',  # too long
        '{"text":"a\n',  # a bare control character
        '{"text":"\\ud83d',  # half a surrogate pair could follow
        '{"text":"ab","tags":["g","',
        '{"text":"ab","tags":["glad","sad",',  # too many
        '{"text":"ab"}',
    ],
)
def test_what_cannot_lead_to_an_answer_is_refused(text: str) -> None:
    assert walk(Grammar(SPACED), text) is None


def test_what_must_follow_is_known() -> None:
    grammar = Grammar(SPACED)
    text, state = grammar.forced(grammar.start)
    assert text == '{"text":"'
    after = grammar.walk(state, 'abcd"')
    assert after is not None
    assert grammar.forced(after)[0] == ',"tags":['


def test_a_beginning_is_not_complete() -> None:
    state = walk(Grammar(SPACED), '{"text":"ab","tags":[]')
    assert state is not None
    assert not state.is_complete


def test_recursion_and_repetition() -> None:
    grammar = Grammar('root ::= "(" root* ")" | [a-c-]+ | "x"{2} | [日-本]\nother ::= "unused"')
    for text in ("((a)(b-c))", "xx", "日", "()"):
        state = walk(grammar, text)
        assert state is not None, text
        assert state.is_complete, text
    assert walk(grammar, "xxx") is None
    assert walk(grammar, "())") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('other ::= "a"', "no rule named root"),
        ("root ::= other", "no rule named other"),
        ('root ::= "a', "not closed"),
        ("root ::= [a", "not closed"),
        ('root ::= ("a"', "closing parenthesis"),
        ('root ::= "a" )', "unexpected text"),
        ("root = a", "not a rule"),
    ],
)
def test_a_broken_grammar_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Grammar(text)
