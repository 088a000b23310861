"""Names of tasks, derived from the commands of crontab lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Container
from pathlib import PurePosixPath

from keiji.errors import InvalidName
from keiji.names import slug_of, validate

MAX_LENGTH = 40
_SEPARATORS = {"&&", "||", ";", "|", "&", "(", ")", "{", "}"}
_KEYWORDS = {"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "!"}
_SETUP = {"cd", "source", ".", "test", "[", "[[", "sleep", "export", "set", "umask", "ulimit", "true", ":"}
_WRAPPERS = {
    "env", "nice", "ionice", "nohup", "time", "timeout", "sudo", "exec", "command", "flock", "setsid", "chronic",
    "systemd-cat", "chrt", "bundle", "setlock", "stdbuf", "cronic", "unbuffer",
}  # fmt: skip
_TAKE_ARGUMENT = {"timeout": 1, "flock": 1, "setlock": 1}  # positional arguments before the command
_VALUE_OPTIONS = {
    "nice": {"-n"}, "ionice": {"-c", "-n", "-p"}, "sudo": {"-u", "-g"}, "flock": {"-w", "-E"}, "timeout": {"-k", "-s"},
    "systemd-cat": {"-t", "-p"}, "env": {"-u", "-C"}, "stdbuf": {"-o", "-e", "-i"},
}  # fmt: skip
_INTERPRETERS = re.compile(r"(?:python|pypy|perl|ruby|php|node|bash|sh|zsh|dash|ksh|Rscript|java)[\d.]*")
_WITH_SUBCOMMAND = {
    "manage", "artisan", "console", "git", "docker", "podman", "kubectl", "npm", "yarn", "composer", "wp", "rake",
    "drush", "occ", "certbot", "systemctl", "apt-get", "apt", "dnf", "yum", "mysqladmin", "restic", "borg", "rclone",
    "aws", "make",
}  # fmt: skip
_SUBSTITUTION = re.compile(r"\$\(\(.*?\)\)|\$\([^()]*\)|`[^`]*`")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII | re.DOTALL)
_WORD = re.compile(r"[A-Za-z][\w:.-]*", re.ASCII)


def derive_name(command: str) -> str:
    """Return a name for a task that runs a shell line: that of its program or script, without folder and extension."""
    for words in _simple_commands(command):
        name = _name_of(words)
        try:
            return validate(name)
        except InvalidName:
            continue
    return "job"


def make_unique(name: str, taken: Container[str]) -> str:
    """Return ``name``, or with a number from 2 if its slug, in lower case, is among those ``taken``."""
    number, candidate = 1, name
    while slug_of(candidate).lower() in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _simple_commands(command: str) -> list[list[str]]:
    """Return the words of each command of a shell line, those that prepare for others last."""
    try:
        lexer = shlex.shlex(_SUBSTITUTION.sub("_", command), posix=True, punctuation_chars="();&|")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError:  # no closing quote
        words = command.split()
    commands: list[list[str]] = [[]]
    for word in words:
        if word in _SEPARATORS or not word.strip("();&|"):
            commands.append([])
        else:
            commands[-1].append(word)
    return sorted(filter(None, map(_without_wrappers, commands)), key=_prepares)


def _prepares(words: list[str]) -> bool:
    """Return whether a command prepares for others, such as ``cd``, or ``perl -e 'sleep rand 60'``."""
    return words[0] in _SETUP or any(re.search(r"\bsleep\b", word) for word in words)


def _without_wrappers(words: list[str]) -> list[str]:
    """Return a command without assignments and programs such as ``nice`` before it."""
    words = list(words)
    while words:
        program = PurePosixPath(words[0]).name
        if _ASSIGNMENT.fullmatch(words[0]) or words[0] in _KEYWORDS:
            words.pop(0)
        elif program in _WRAPPERS and len(words) > 1:
            words.pop(0)
            positional = _TAKE_ARGUMENT.get(program, 0)
            while words and (words[0].startswith("-") or positional):
                word = words.pop(0)
                if program == "flock" and word == "-c":  # followed by a shell line
                    return next(iter(_simple_commands(" ".join(words[:1]))), [])
                if word in _VALUE_OPTIONS.get(program, ()):
                    words = words[1:]
                elif not word.startswith("-"):
                    positional -= 1
            if program == "bundle" and words[:1] == ["exec"]:
                words.pop(0)
        else:
            return words
    return []


def _name_of(words: list[str]) -> str:
    program, *arguments = words
    if program == "run-parts":
        arguments = [each for each in arguments if not each.startswith("-")]
        program, arguments = (arguments[0] if arguments else program), []
        return _clean(PurePosixPath(program.rstrip("/")).name)
    if _INTERPRETERS.fullmatch(PurePosixPath(program).name):
        program, arguments = _script_of(program, arguments)
    path = PurePosixPath(program)
    name = (
        path.stem
        if path.suffix.lower() in {".sh", ".py", ".pl", ".rb", ".php", ".js", ".bash", ".jar", ".r"}
        else path.name
    )
    if name in _WITH_SUBCOMMAND:
        subcommand = next((each for each in arguments if _WORD.fullmatch(each)), "")
        name = f"{name}-{subcommand}" if subcommand else name
    return _clean(name)


def _script_of(program: str, arguments: list[str]) -> tuple[str, list[str]]:
    """Return the script or the module that an interpreter executes, and its arguments."""
    for index, word in enumerate(arguments):
        if word in ("-m", "-jar"):
            return " ".join(arguments[index + 1 : index + 2]) or program, arguments[index + 2 :]
        if word in ("-c", "-e", "-r", "-lc", "-ec"):
            inner = _simple_commands(" ".join(arguments[index + 1 : index + 2])) if "sh" in program else []
            return (_name_of(inner[0]) or program, []) if inner else (program, [])
        if not word.startswith("-"):
            return word, arguments[index + 1 :]
    return program, []


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:MAX_LENGTH].strip("-._")
