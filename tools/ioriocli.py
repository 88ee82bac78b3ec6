#!/usr/bin/env python3
"""tools/ioriocli.py - Iorio DB from the command line (Python 3 standard library, iorio.py).

Happy path: parse the line, log in (admin/secret unless told otherwise), one call,
print: JSON when --json or when the output is no terminal, else for humans.

Exit codes, also in --help:
    0  done
    1  the node refused (status 4xx or 5xx, no permission and wrong login included)
    2  wrong usage, or an input file that cannot be read
    3  no connection, no answer in time, or an answer that is not from an Iorio DB node
    4  not found (404): no such event, policy, user, group; or it is gone (410)
    5  listen --strict: events were removed before they could be delivered
  130  interrupted by Ctrl-C
  141  the reader of the output went away (as any tool in a pipe)
Whatever goes wrong is one line on standard error that begins with "ioriocli: "
(with --json an object with "error"). `post --lines` also says up to which line of
the input everything is stored, so that --skip can go on from there.
"""

import argparse
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import iorio  # noqa: E402  (the modules beside this file)
import ioriocli_admin  # noqa: E402
from ioriocli_base import (EXIT_GAP, EXIT_INTERRUPTED, EXIT_OK, EXIT_PIPE, EXIT_USAGE, LIMIT_ALL, Usage,  # noqa: E402
                           add_verb, add_where, again, client_of, complain, dump, exit_code, header_text, limit_or_all,
                           login_password, put, read_data, say, seconds, seconds_above_0, when, whole)
from ioriocli_lines import BATCH_BYTES, BATCH_LINES_MAX, post_lines  # noqa: E402

# The node takes no more in one request.
LISTEN_STREAMS_MAX = 64
# How long a key is tried again without --retry: well within the time that a node remembers it.
RETRY_S = 30.0


# --- post ---

def cmd_post(client, args):
    if args.retry is not None and args.idempotency_key is None and not args.lines:
        raise Usage("--retry goes with --lines or --idempotency-key only: without a key it could be appended twice")
    args.retry = RETRY_S if args.retry is None else args.retry
    if args.lines:
        return post_lines(client, args)
    for name in ("skip", "batch_lines", "batch_bytes"):
        if getattr(args, name) is not None:
            raise Usage(f"--{name.replace('_', '-')} goes with --lines only")
    body = read_data(args.data)

    def step():
        return client.post(args.bucket, args.stream, body, args.content_type or iorio.JSON,
                           idempotency_key=args.idempotency_key)
    meta = step() if args.idempotency_key is None else client.patiently(step, args.retry, again)
    if args.as_json:
        put(dump({"meta": meta}))
    elif "last" in meta:
        put(f"{args.bucket}/{args.stream} {meta.get('id')}..{meta['last']}  {when(meta.get('t'))}")
    else:
        put(f"{args.bucket}/{args.stream} {meta.get('id')}  {when(meta.get('t'))}")
    return EXIT_OK


# --- patch ---

def cmd_patch(client, args):
    if args.retry is not None and args.idempotency_key is None:
        raise Usage("--retry goes with --idempotency-key only: without a key it could be applied twice")
    body = read_data(args.data)

    def step():
        return client.patch(args.bucket, args.stream, body, args.content_type or iorio.PATCH,
                            if_match=args.if_match, idempotency_key=args.idempotency_key)
    retry = RETRY_S if args.retry is None else args.retry
    meta = step() if args.idempotency_key is None else client.patiently(step, retry, again)
    if args.as_json:
        put(dump({"meta": meta}))
    else:
        put(f"{args.bucket}/{args.stream} {meta.get('id')}  {when(meta.get('t'))}")
    return EXIT_OK


# --- delete ---

def cmd_delete(client, args):
    kept = client.delete(args.bucket, args.stream, args.to)
    if args.as_json:
        put(dump({"ok": True, "low": kept.low, "high": kept.high}))
    elif kept.low > kept.high:
        put(f"{args.bucket}/{args.stream}: no event is kept; the next one is {kept.high + 1}")
    else:
        put(f"{args.bucket}/{args.stream}: {kept.low}..{kept.high} are kept")
    return EXIT_OK


# --- get ---

def cmd_get(client, args):
    if args.raw:
        return get_raw(client, args)
    limit, from_ = args.limit or 10, args.from_
    if limit == "all":
        limit = LIMIT_ALL
        from_ = 1 if from_ is None else from_
    lines = client.iter_lines(args.bucket, args.stream, from_, limit, args.to)
    out = sys.stdout.buffer
    if args.ndjson:
        for line in lines:
            out.write(line)
    elif args.as_json:
        separator = b"["
        for line in lines:
            out.write(separator + line.rstrip(b"\n"))
            separator = b","
        out.write(b"]\n" if separator == b"," else b"[]\n")
    else:
        for line in lines:
            put_event(line)
    return EXIT_OK


def put_event(line):
    """One event for humans: id and time, then the content, indented."""
    try:
        event = json.loads(line)
        meta, data = event["meta"], event["data"]
        place = f"{meta['bucket']}/{meta['stream']} " if "bucket" in meta else ""
        head = f"{place}{meta['id']}  {when(meta['t'])}"
    except (ValueError, KeyError, TypeError, RecursionError):
        raise iorio.BadAnswer("a line of the answer is no event") from None
    if meta.get("enc") == "base64":
        put(f"{head}  binary, base64:")
        put(f"  {data}")
    else:
        put(head)
        for text in json.dumps(data, ensure_ascii=False, indent=2).split("\n"):
            put(f"  {text}")


def get_raw(client, args):
    """The exact bytes of one event: --from names it, without it the last one."""
    if args.limit is not None or args.to is not None or args.ndjson:
        raise Usage("--raw gives one event: it goes with --from only")
    event = args.from_
    if event is None or event < 0:
        kept = client.head(args.bucket, args.stream)
        event = kept.high if event is None else max(kept.low, kept.high + event + 1)
        if kept.high < kept.low:
            raise iorio.NotFound(404, "not-found", "the stream holds no event")
    body, _ = client.raw(args.bucket, args.stream, event)
    sys.stdout.buffer.write(body)
    return EXIT_OK


# --- listen ---

class Gap(Exception):
    """Events are missing, and --strict was given."""


def stream_of(text, from_):
    """BUCKET/STREAM: the first slash divides, so a stream may have more of them. Without a slash
    BUCKET:STREAM or BUCKET:STREAM:ID, as in the first Iorio DB."""
    bucket, slash, stream = text.partition("/")
    if not slash:
        bucket, _, stream = text.partition(":")
        stream, colon, number = stream.partition(":")
        try:
            from_ = int(number) if colon else from_
        except ValueError:
            raise Usage(f"{text!r} is no BUCKET:STREAM:ID: {number!r} is no number") from None
    if not bucket or not stream:
        raise Usage(f"{text!r} is no BUCKET/STREAM")
    return bucket, stream, from_


def cmd_listen(client, args):
    """Events as they come, one a line, until --count, --wait or Ctrl-C."""
    streams = [stream_of(text, args.from_) for text in args.streams]
    if len(streams) > LISTEN_STREAMS_MAX:
        raise Usage(f"at most {LISTEN_STREAMS_MAX} streams at once")

    def on_gap(gap):
        what = "the cursor was not accepted" if gap == "*" else f"events were removed before they came: {gap}"
        if args.strict:
            raise Gap(what)
        say(f"ioriocli: {what}")

    left = args.count
    try:
        for line in client.listen_lines(streams, args.cursor, args.wait, on_gap):
            if args.as_json:
                sys.stdout.buffer.write(line)
            else:
                put_event(line)
            sys.stdout.flush()
            left = None if left is None else left - 1
            if left == 0:
                break
    except Gap as e:
        say(f"ioriocli: {e}")
        return EXIT_GAP
    return EXIT_OK


# --- lists ---

def cmd_list_buckets(client, args):
    return put_list(client.list_buckets(args.after, args.limit, args.match, args.info), args)


def cmd_list_streams(client, args):
    answer = client.list_streams(args.bucket, args.after, args.limit, args.match, args.info)
    return put_list(answer, args)


def put_list(answer, args):
    if answer.get("status") != "ok":
        say("ioriocli: the list is not complete: a part of the cluster did not answer in time")
    if args.as_json:
        put(dump(answer))
        return EXIT_OK
    for item in answer["data"]:
        if isinstance(item, dict):
            numbers = "  ".join(f"{k} {item[k]}" for k in ("low", "high", "events", "bytes")
                                if k in item)
            put(f"{item.get('name')}  {numbers}".rstrip())
        else:
            put(str(item))
    return EXIT_OK


# --- the command line ---

def add_common(parser, top):
    """The options that every verb takes, before or after the verb; help shows them at the top only."""
    def add(to, *names, help, default=None, **options):
        to.add_argument(*names, default=default if top else argparse.SUPPRESS,
                        help=help if top else argparse.SUPPRESS, **options)
    add(parser, "--verbose", "-v", action="store_true", default=False, help="show requests and answers on standard error")
    add(parser, "-u", "--username", default="admin", help="username used for authentication (admin)")
    add(parser, "-p", "--password", default="secret",
        help="password used for authentication (secret); -: ask for it, or take a line of standard input; as an argument "
             "other users of this machine can see it")
    add(parser, "-t", "--token", type=header_text,
        help="token from an already authenticated user (instead of -u and -p)")
    add_where(lambda *names, **options: add(parser, *names, **options))
    add(parser, "--timeout", type=seconds_above_0, default=30.0, metavar="SECONDS", help="longest wait for an answer (30)")
    form = parser.add_mutually_exclusive_group()
    add(form, "--json", action="store_true", default=False, help="print JSON (the default when the output is no terminal)")
    add(form, "--human", action="store_true", default=False, help="print for humans (the default on a terminal)")


def add_stream(parser):
    parser.add_argument("bucket")
    parser.add_argument("stream")


def add_post(verbs):
    p = add_verb(verbs, "post", cmd_post, "add an event to a stream", "put", (
        """post public hello '{"msg": "hi!!"}'""",
        "post public hello @tools/sample.json",
        "post orders 2024 @order.json --idempotency-key order-4711    # sent twice, it is stored once",
        "post public picture @cat.png -c application/octet-stream",
        "post public numbers @numbers.ndjson --lines  # a line is an event; goes on when the node restarts"))
    add_stream(p)
    p.add_argument("data", help="the event itself, @file, or - for standard input")
    p.add_argument("-c", "--content-type", type=header_text, help="application/json unless given")
    p.add_argument("--idempotency-key", type=header_text, metavar="KEY",
                   help="what is sent again with this key within 2 minutes is not appended again; with --lines the "
                        "beginning of a key for each batch (without it they are random)")
    p.add_argument("--retry", type=seconds, metavar="SECONDS",
                   help="how long to try again when the node goes away or is busy; 0: not at all "
                        f"({RETRY_S:g}; without --lines and without a key never)")
    p.add_argument("--lines", action="store_true",
                   help="the data is JSON lines, one event each; sent in atomic batches")
    p.add_argument("--skip", type=whole(0, LIMIT_ALL), metavar="N",
                   help="--lines: leave out the first N lines of the input")
    p.add_argument("--batch-lines", type=whole(1, BATCH_LINES_MAX), metavar="N",
                   help=f"--lines: most lines in a batch ({BATCH_LINES_MAX})")
    p.add_argument("--batch-bytes", type=whole(1, 1 << 30), metavar="N",
                   help=f"--lines: most bytes in a batch ({BATCH_BYTES}); a longer line goes alone")
    p.add_argument("--progress", action="store_true",
                   help="--lines: progress on standard error (the default on a terminal)")


def add_patch(verbs):
    p = add_verb(verbs, "patch", cmd_patch, "patch the last event of a stream (JSON Patch, RFC 6902)", "put", (
        "patch public hello @tools/sample_patch.json",
        """patch public hello '[{"op": "add", "path": "/tags/-", "value": "new"}]'""",
        "patch public hello @patch.json --if-match 4    # only if event 4 is still the last one"))
    add_stream(p)
    p.add_argument("data", help="the patch itself, @file, or - for standard input")
    p.add_argument("-c", "--content-type", type=header_text, help=f"{iorio.PATCH} unless given")
    p.add_argument("--if-match", type=whole(0, LIMIT_ALL), metavar="ID",
                   help="only if the last event still has this id")
    p.add_argument("--idempotency-key", type=header_text, metavar="KEY",
                   help="what is sent again with this key within 2 minutes is not applied again")
    p.add_argument("--retry", type=seconds, metavar="SECONDS",
                   help=f"how long to try again when the node goes away or is busy ({RETRY_S:g}; without a key never)")


def add_get(verbs):
    p = add_verb(verbs, "get", cmd_get, "get content from a stream", "get", (
        "get public hello                       # the last 10 events",
        "get public hello --from 4 --limit 1    # event 4",
        "get public hello --limit all --ndjson  # everything, one event a line",
        "get public picture --raw > cat.png     # the bytes of the last event"))
    add_stream(p)
    p.add_argument("-f", "--from", dest="from_", type=int, metavar="ID",
                   help="begin at this id; -N: N before the end; without it the last ones")
    p.add_argument("-l", "--limit", type=limit_or_all, metavar="N",
                   help="most events (10), or all")
    p.add_argument("--to", type=int, metavar="ID", help="end at this id")
    p.add_argument("--ndjson", action="store_true", help="one event a line, as they come")
    p.add_argument("--raw", action="store_true",
                   help="the exact bytes of one event (--from ID, or the last one)")


def add_listen(verbs):
    p = add_verb(verbs, "listen", cmd_listen, "print events as they come, one a line", "get", (
        "listen public/hello                      # new events, until Ctrl-C",
        "listen public/hello public/cli --from 1  # everything, then new events",
        "listen public:hello:4 public:cli         # each from an id of its own",
        "listen public/hello --from 1 --wait 0    # what is there, then end"))
    p.add_argument("streams", nargs="+", metavar="BUCKET/STREAM",
                   help=f"or BUCKET:STREAM[:ID]; at most {LISTEN_STREAMS_MAX}")
    p.add_argument("-f", "--from", dest="from_", type=int, metavar="ID",
                   help="begin at this id; -N: N before the end; without it new events only")
    p.add_argument("--cursor", type=header_text, metavar="C", help="begin where an Iorio-Cursor says")
    p.add_argument("--count", type=whole(1, LIMIT_ALL), metavar="N", help="end after N events")
    p.add_argument("--wait", type=seconds, metavar="SECONDS",
                   help="end when nothing came for so long; 0: print what is there and end (without it: never)")
    p.add_argument("--strict", action="store_true",
                   help="end with exit code 5 when events were removed before they came")


def add_delete(verbs):
    p = add_verb(verbs, "delete", cmd_delete, "remove events of a stream, all of them or the first ones", "delete", (
        "delete public hello --to 100   # events 1 to 100 go; the name and the rest stay",
        "delete public hello            # all of them go, and the name; the next event goes on counting"))
    add_stream(p)
    p.add_argument("--to", type=whole(0, LIMIT_ALL), metavar="ID", help="only up to this id; there is no way back")


def add_lists(verbs):
    p = add_verb(verbs, "list-buckets", cmd_list_buckets, "list buckets", "list", ("list-buckets --match 'order*'",))
    q = add_verb(verbs, "list-streams", cmd_list_streams, "list streams of a bucket", "list", (
        "list-streams public", "list-streams public --info   # with first and last id, events, bytes"))
    q.add_argument("bucket")
    for parser in (p, q):
        parser.add_argument("--after", metavar="NAME", help="only names that sort after this one")
        parser.add_argument("-l", "--limit", type=whole(1, LIMIT_ALL), metavar="N", help="at most so many names")
        parser.add_argument("--match", metavar="PRE*", help="only names that match")
        parser.add_argument("--info", action="store_true", help="ids, events and bytes as well")


def make_parser():
    codes = __doc__[__doc__.index("Exit codes"):__doc__.index("Whatever")].replace(", also in --help", "")
    parser = argparse.ArgumentParser(prog="ioriocli.py", description="Iorio DB CLI. `ioriocli.py VERB --help` has "
                                     "options and examples.", epilog=codes,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common(parser, top=True)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    add_post(verbs)
    add_patch(verbs)
    add_get(verbs)
    add_listen(verbs)
    add_delete(verbs)
    add_lists(verbs)
    ioriocli_admin.add_verbs(verbs)
    for verb in verbs.choices.values():
        add_common(verb, top=False)
    return parser


def run(args):
    args.password = login_password(args)
    with client_of(args, trace=say if args.verbose else None) as client:
        code = args.handler(client, args)
        sys.stdout.flush()
        return code


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    args.as_json = args.json or not (args.human or sys.stdout.isatty())
    try:
        return run(args)
    except Usage as e:
        say(f"ioriocli: {e}")
        return EXIT_USAGE
    except iorio.Error as e:
        complain(args, e)
        return exit_code(e)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("ioriocli: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would try to flush once more at its end and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except OSError as e:
        say(f"ioriocli: {e.strerror or e}")
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
