#!/usr/bin/env python3
"""check_style.py - the house rules that a script can see.

Prints every violation as file:line and how many there are; exit code 1 when there is one.
    tools/check_style.py                the rules, without clang-format
    tools/check_style.py --format       clang-format --dry-run over the C files
    tools/check_style.py --fix          clang-format -i over the C files
    tools/check_style.py --self-test    check this script with good and bad samples
"""
import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
FIRST_COMMENT_BYTES_MIN = 20
FORMATTER_MAJOR = 14  # other versions lay some lines out differently

# (file, function) -> why it may be longer. An entry that is no longer needed is a violation too.
LONG_FUNCTIONS = {}

C_FILES = (".c", ".h")
TEXT_FILES = C_FILES + (".def", ".py", ".sh", ".js", ".lua", ".build", "Makefile", "setup", "run")
BANNED_CALLS = {
    "strcpy": "no bound: memcpy with a checked size, or ior_buf",
    "strcat": "no bound: ior_buf",
    "sprintf": "no bound: snprintf",
    "vsprintf": "no bound: vsnprintf",
    "gets": "no bound: fgets",
    "alloca": "no bound on the stack",
}
# In pieces, so that this file does not hold the words.
BANNED_WORDS = re.compile(r"\b(" + "TO" + "DO|FIX" + r"ME)\b")
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED_CALLS) + r")\s*\(")
SKIPPED_FOLDERS = {".git", "build", "dev", "fuzz-work", "bench-work", "__pycache__"}


def tree_files(root):
    """Files of the tree that git knows or would add; without git, everything but what is built."""
    git = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"],
                         capture_output=True, check=False) if shutil.which("git") else None
    if git is not None and git.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        names = sorted(set(os.fsdecode(git.stdout).split("\0")) - {""})
        return [n for n in names if os.path.isfile(os.path.join(root, n))]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("build"))
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(n for n in found if not n.startswith(("rel/iorio/", "rel/db_")))


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def strip_c(text):
    """Comments, strings and characters become blank; the lines keep their numbers."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(blank, text)


def c_functions(code):
    """(name, first line, lines) of every function; a function's braces stand alone in column 0."""
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines):
        if line.rstrip() == "{" and start is None:
            start = signature_start(lines, number)
        elif line.startswith("}") and start is not None:
            # A parameter list may hold parentheses of its own: the name stands before the first one.
            match = re.search(r"(\w+)\s*\(", " ".join(lines[start:number]))
            yield (match.group(1) if match else "?"), start + 1, number - start + 1
            start = None


def signature_start(lines, brace):
    """The signature is what stands without a gap, a directive or an end of statement above the brace."""
    first = brace
    while first > 0:
        above = lines[first - 1].rstrip()
        if not above or above.startswith("#") or above.endswith((";", "}")):
            break
        first -= 1
    return first


def python_functions(text, path):
    try:
        tree = ast.parse(text, path)
    except SyntaxError as error:
        yield f"(syntax error: {error.msg})", error.lineno or 1, FUNCTION_LINES_MAX + 1
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def check_functions(path, functions, exceptions, needed):
    for name, line, length in functions:
        if length <= FUNCTION_LINES_MAX:
            continue
        if (path, name) in exceptions:
            needed.add((path, name))
            continue
        yield path, line, f"function {name} has {length} lines, {FUNCTION_LINES_MAX} are allowed"


def check_c(path, text, code):
    if path.endswith(C_FILES):
        match = re.match(r"\s*(/\*.*?\*/|(//[^\n]*\n)+)", text, re.S)
        if match is None or len(match.group().strip()) < FIRST_COMMENT_BYTES_MIN:
            yield path, 1, "the first comment must say what the file is for"
        elif path not in match.group().split("\n", maxsplit=1)[0]:
            yield path, 1, f"the first comment must begin with the file's name, {path}"
    for number, line in enumerate(code.split("\n"), 1):
        for match in CALL.finditer(line):
            yield path, number, f"{match.group(1)}: {BANNED_CALLS[match.group(1)]}"


def check_file(root, path, exceptions, needed):
    if not path.endswith(TEXT_FILES):
        return
    text = read(root, path)
    lines = text.split("\n")
    if len(lines) - 1 > FILE_LINES_MAX:
        yield path, FILE_LINES_MAX, f"the file has {len(lines) - 1} lines, {FILE_LINES_MAX} are allowed"
    for number, line in enumerate(lines, 1):
        match = BANNED_WORDS.search(line)
        if match:
            yield path, number, f"{match.group()}: do it now, or write an issue"
    if path.endswith(C_FILES + (".def",)):
        code = strip_c(text)
        yield from check_c(path, text, code)
        yield from check_functions(path, c_functions(code), exceptions, needed)
    elif path.endswith(".py"):
        yield from check_functions(path, python_functions(text, path), exceptions, needed)


def check(root, exceptions):
    """All violations as (file, line, text)."""
    found, needed = [], set()
    for path in tree_files(root):
        found += check_file(root, path, exceptions, needed)
    for path, name in sorted(set(exceptions) - needed):
        found.append((path, 1, f"{name} is a named exception of check_style.py, but needs none"))
    return found


def formatter():
    """A clang-format of the right version, or None."""
    for name in (f"clang-format-{FORMATTER_MAJOR}", "clang-format"):
        for folder in ("/usr/bin", None):  # Debian's before anybody else's
            program = shutil.which(name, path=folder)
            if program is None:
                continue
            says = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if re.search(rf"version {FORMATTER_MAJOR}\.", says):
                return program
    return None


def run_formatter(root, arguments):
    """Exit code 0 fine, 1 not formatted, 77 no formatter of that version here."""
    program = formatter()
    if program is None:
        print(f"check_style: no clang-format {FORMATTER_MAJOR} here; the format is not checked")
        return 77
    files = [f for f in tree_files(root) if f.endswith(C_FILES)]
    if not files:
        return 0
    run = subprocess.run([program, *arguments, *files], cwd=root, capture_output=True, text=True, check=False)
    bad = [line for line in run.stderr.split("\n") if ": error:" in line or ": warning:" in line]
    print("\n".join(bad[:40] + ([f"... and {len(bad) - 40} more"] if len(bad) > 40 else [])) or
          f"check_style: {len(files)} files formatted")
    if bad:
        print(f"check_style: {len({line.split(':')[0] for line in bad})} files are not formatted; make fmt does it")
    return 1 if bad or run.returncode != 0 else 0


HEAD = "/* {} - a sample that has a first comment of the right kind. */\n"
LONG = "static int f(int a,\n             int b)\n{\n" + "    a += b;\n" * 65 + "    return a;\n}\n"
# name, path, text after the head, exceptions, the lines that must be found
SAMPLES = [
    ("clean", "a.c", LONG, {}, []),  # 2 + 1 + 65 + 1 + 1 = 70, signature and braces included
    ("banned calls", "a.c", "int x = 0;\nvoid f(void)\n{\n    strcpy(a, b); sprintf (a, b);\n    gets(a);\n}\n", {},
     [5, 5, 6]),
    ("more banned calls", "a.h", "#define A strcat(a, b)\n#define B alloca(1)\n#define C vsprintf(a, b, c)\n", {},
     [2, 3, 4]),
    ("calls that only look alike", "a.c", "/* strcpy(a, b) */\nchar *s = \"gets(a)\"; // sprintf(a)\n"
     "int n = snprintf(a, 1, b) + my_gets(c) + x->gets(d) + vsnprintf(e);\n", {}, []),
    ("words", "a.c", "/* TO" + "DO: later */\nint a; // FIX" + "ME\n", {}, [2, 3]),
    ("words in scripts", "a.py", "# TO" + "DO\n", {}, [1]),
    ("words inside words", "a.c", "int TO" + "DOS;\n", {}, []),
    ("no first comment", "b.c", None, {}, [1]),
    ("a first comment for another file", "c.c", None, {}, [1]),
    ("long file", "a.c", "int a;\n" * 800, {}, [800]),
    ("file at the limit", "a.c", "int a;\n" * 799, {}, []),
    ("long function", "a.c", LONG.replace("return a", "a--;\n    return a"), {}, [2]),
    ("long function, excepted", "a.c", LONG.replace("return a", "a--;\n    return a"), {("a.c", "f"): "x"}, []),
    ("exception without need", "a.c", "int a;\n", {("a.c", "f"): "x"}, [1]),
    ("function after function", "a.c", "void a(void)\n{\n}\n" + LONG.replace("a += b;", "a += b;", 1) + "void b(void)\n{\n}\n",
     {}, []),
    ("long Python function", "a.py", "def f():\n" + "    print(1)\n" * 70, {}, [1]),
    ("Python function at the limit", "a.py", "def f():\n" + "    print(1)\n" * 69, {}, []),
]


def sample_text(path, text):
    if path == "b.c":
        return "#include <stdio.h>\n"
    if path == "c.c":
        return HEAD.format("a.c")
    return (HEAD.format(path) if path.endswith(C_FILES) else "") + text


def self_test_format():
    """True when clang-format tells good from bad, None when there is none of the right version."""
    if formatter() is None:
        return None
    with tempfile.TemporaryDirectory() as root:
        path = os.path.join(root, "a.c")
        with open(os.path.join(root, ".clang-format"), "w", encoding="utf-8") as file:
            file.write("BasedOnStyle: LLVM\n")
        codes = []
        for text in ("int a;\n", "int   a  ;\n"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            codes.append(run_formatter(root, ["--dry-run", "-Werror"]))
    return codes == [0, 1]


def self_test():
    failed = 0
    for name, path, text, exceptions, expected in SAMPLES:
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(sample_text(path, text))
            found = [line for _, line, _ in check(root, exceptions)]
        if found != expected:
            failed += 1
            print(f"FAILED {name}: expected lines {expected}, found {found}")
    formats = self_test_format()
    failed += formats is False
    total = len(SAMPLES) + (formats is not None)
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    parser.add_argument("--format", action="store_true")
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    if args.fix:
        return run_formatter(args.root, ["-i"])
    if args.format:
        return run_formatter(args.root, ["--dry-run", "-Werror"])
    found = check(args.root, LONG_FUNCTIONS)
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"check_style: {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
