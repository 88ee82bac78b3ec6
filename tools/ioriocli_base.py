"""tools/ioriocli_base.py - what the verbs of ioriocli.py share: exit codes, output, passwords, argument types,
and what to say when something goes wrong.

Output is bytes in UTF-8 whatever the locale is. A password is never part of it.
"""

import argparse
import datetime
import getpass
import json
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import iorio  # noqa: E402  (the module beside this file)

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_CONNECTION, EXIT_NOT_FOUND = 0, 1, 2, 3, 4
EXIT_GAP = 5
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

# More than a stream will ever hold, and exact in every JSON reader.
LIMIT_ALL = (1 << 53) - 1
# The longest password that is read from standard input; the node has a limit of its own.
PASSWORD_BYTES_MAX = 4096
# How long a node remembers an Idempotency-Key unless it is configured otherwise.
KEY_WINDOW = "2 minutes"


class Usage(Exception):
    """The command line makes sense to argparse but not to us: exit 2."""


# --- output ---

def put(text):
    """A line on standard output."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")


def say(text, end="\n"):
    """A line on standard error; a standard error that is gone is no reason to fail."""
    try:
        print(text.encode("utf-8", "backslashreplace").decode("utf-8", "replace"),
              end=end, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def when(t_ms):
    """Unix time in ms as text in UTC; what is out of range stays a number."""
    try:
        moment = datetime.datetime.fromtimestamp(t_ms / 1000, datetime.timezone.utc)
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{t_ms % 1000:03d}Z"
    except (TypeError, ValueError, OverflowError, OSError):
        return str(t_ms)


def again(error, delay):
    """For Client.patiently(): say that it is not over yet."""
    say(f"ioriocli: {error}; again in {delay:.1f} s")


# --- what goes wrong ---

def exit_code(error):
    if isinstance(error, iorio.NotFound):
        return EXIT_NOT_FOUND
    return EXIT_REFUSED if isinstance(error, iorio.Refused) else EXIT_CONNECTION


HINTS = {
    "unauthorized": "give -u USER and -p PASSWORD",
    "cannot-connect": "is the node running? -H and -P say where",
    "user-exists": "set-password gives him another password",
    "unknown-error": "list-users shows who there is",
    "no-space": "the node takes appends again when its disk has room",
}


def complain(args, error):
    """What went wrong and what to do next: a line, or with --json an object."""
    hint = hint_of(args, error)
    if args.json:
        what = {"status": error.status, "type": error.type, "reason": error.reason}
        say(dump({"error": {**what, "hint": hint} if hint else what}))
    else:
        say(f"ioriocli: {error}" + (f"; {hint}" if hint else ""))


def hint_of(args, error):
    """What to do about an error, None when the node's own reason says all there is."""
    if isinstance(error, iorio.Refused) and error.status in (404, 405) and not error.fields:
        return f"does this node know `{args.verb}`? It may be older than this tool, or no Iorio DB node"
    if error.type == "no-perm":
        return no_perm_hint(args)
    if error.status == 404 and args.verb == "get-policy":
        return "--effective shows what holds"
    if error.status in (400, 404) and error_field(error) in ("role", "member"):
        return "list-users and list-groups show who there is"
    if error.unknown_outcome and args.verb == "post":
        if getattr(args, "idempotency_key", None) is None:
            return "look at the end of the stream before you send it again; with --idempotency-key that is not needed"
        return f"send it again with the same key within {KEY_WINDOW}: it is appended once"
    if error.status == 400 and error_field(error) == "Idempotency-Key" and getattr(args, "idempotency_key", None):
        return "use the options of the first time (--skip, --batch-lines, --batch-bytes too), or another key"
    if iorio.may_pass(error) and error.status is not None:
        delay = iorio.retry_after(error)
        return "try again" + (f" in {delay} s" if delay else " later")
    return HINTS.get(error.type)


def error_field(error):
    return getattr(error, "fields", {}).get("field")


def no_perm_hint(args):
    """Which permission is missing, and how an administrator gives it."""
    needs = getattr(args, "needs", None)
    if needs is None:
        return "the token may have ended, or this user (-u) may not do it"
    if needs == "grant" and args.bucket is None:
        needs = "adminusers"
    who = args.username if args.token is None else "USER"
    places = [getattr(args, name, None) for name in ("bucket", "stream")] if needs not in NODE_PERMISSIONS else []
    words = " ".join(shlex.quote(word) for word in [who, needs, *(p for p in places if p is not None)])
    return f"it takes permission {needs}: whoever may can give it by `ioriocli.py grant {words}`; or the token has ended"


# Those that are never given on a bucket or stream.
NODE_PERMISSIONS = ("adminusers", "viewstats", "admincluster")


# --- passwords ---

def password_line(what):
    """A line of standard input."""
    line = sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2)
    line = line[:-1] if line.endswith(b"\n") else line
    line = line[:-1] if line.endswith(b"\r") else line
    if not line:
        raise Usage(f"standard input has no {what}")
    if len(line) > PASSWORD_BYTES_MAX:
        raise Usage(f"the {what} is longer than {PASSWORD_BYTES_MAX} bytes")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise Usage(f"the {what} is not UTF-8") from None


def ask(prompt):
    """A password from the terminal, not shown."""
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise Usage("no password was typed") from None


def login_password(args):
    """-p: as it is, or "-": asked for, or a line of standard input."""
    if args.password != "-" or args.token is not None:
        return args.password
    return ask(f"Password of {args.username}: ") if sys.stdin.isatty() else password_line("password of -p")


def new_password(args):
    """PASSWORD: as it is, "-": a line of standard input, not there: asked for twice."""
    if args.new_password == "-":
        return password_line("new password")
    if args.new_password is not None:
        return text_for_json(args.new_password, "the new password")
    if not sys.stdin.isatty():
        raise Usage("there is no terminal to ask for the new password: give - and a line of standard input")
    first = ask(f"New password of {args.user}: ")
    if not first:
        raise Usage("an empty password is not possible; nothing was changed")
    if ask("Once more: ") != first:
        raise Usage("the two are not the same; nothing was changed")
    return first


def text_for_json(text, what):
    """Arguments are bytes; JSON holds text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Usage(f"{what} is not UTF-8") from None
    return text


# --- where the node is ---

def add_where(add):
    """-H, -P and the options of HTTPS. add: as parser.add_argument."""
    add("-H", "--host", default="127.0.0.1", help="host where ioriodb is running (127.0.0.1)")
    add("-P", "--port", type=whole(1, 65535),
        help="port where ioriodb is running (8080, with --https 8443)")
    add("--https", action="store_true", default=False, help="talk HTTPS: passwords and tokens are not readable on the way")
    add("--cacert", metavar="FILE", help="--https: trust the certificates in this file instead of the system's")
    add("--insecure", action="store_true", default=False, help="--https: trust any certificate")


def client_of(args, **options):
    """A Client for the options of add_where(), -u, -p, -t and --timeout."""
    if not args.https and (args.cacert is not None or args.insecure):
        raise Usage("--cacert and --insecure go with --https")
    try:
        tls = iorio.tls_context(args.cacert, not args.insecure) if args.https else None
    except OSError as e:  # ssl.SSLError is one
        raise Usage(f"cannot use {args.cacert} as certificates: {e.strerror or e}") from None
    port = args.port if args.port is not None else 8443 if args.https else 8080
    return iorio.Client(args.host.strip("[]"), port, args.username, args.password, token=args.token,
                        timeout=args.timeout, tls=tls, **options)


# --- arguments ---

def whole(minimum, maximum):
    def parse(text):
        value = int(text)
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"{text} is not in {minimum}..{maximum}")
        return value
    parse.__name__ = "number"
    return parse


def limit_or_all(text):
    return "all" if text == "all" else whole(1, LIMIT_ALL)(text)


def seconds(text):
    """A time to wait; 0: none at all."""
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait")
    return value


def seconds_above_0(text):
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait")
    return value


def header_text(text):
    if not text or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError("only printable ASCII can travel in a header")
    return text


def open_data(data):
    """The bytes that DATA names, as a file: "-" standard input, "@path" a file."""
    if data == "-":
        return sys.stdin.buffer
    try:
        return open(data[1:], "rb")
    except OSError as e:
        raise Usage(f"cannot read {data[1:]}: {e.strerror}") from None


def read_data(data):
    """DATA whole: a file, standard input, or the argument itself."""
    if data != "-" and not data.startswith("@"):
        return os.fsencode(data)
    try:
        with open_data(data) as f:
            return f.read()
    except OSError as e:
        raise Usage(f"cannot read {data}: {e.strerror}") from None


def add_verb(verbs, name, handler, help_, needs=None, examples=(), takes=None):
    """A verb with its examples in --help. needs: the permission it takes; takes: said otherwise."""
    text = f"It takes {takes or f'the permission {needs}'}.\n\n" if needs else ""
    text += "examples:\n" + "".join(f"  ioriocli.py {line}\n" for line in examples) if examples else ""
    text += "\n-u, -p, -t, -H, -P, --timeout, --json, --human and -v go with every verb: see ioriocli.py --help"
    parser = verbs.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".", epilog=text,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(handler=handler, needs=needs)
    return parser
