"""tools/ioriocli_admin.py - the verbs of ioriocli.py for administrators: users, groups, grants, policies, stats.

Happy path: each is one call of iorio_admin.Admin; what changed is a line for people, {"ok":true} as JSON.
Failure modes: those of ioriocli.py. A new password is asked for twice on a terminal, or taken
from standard input or the command line; it is never shown.
"""

import json

from iorio_admin import Admin
from ioriocli_base import (EXIT_OK, LIMIT_ALL, Usage, add_verb, dump, new_password, put, read_data, say, text_for_json,
                           whole)

PERMISSIONS = ("get", "put", "delete", "list", "grant", "adminusers", "viewstats", "admincluster")
# Members of /stats that are long lists.
LONG_STATS = ("counters", "gauges", "histograms", "buckets")


def done(args, text):
    """What a change says."""
    put(dump({"ok": True}) if args.as_json else text)
    return EXIT_OK


def place_of(args):
    """Where, for people: BUCKET/STREAM, BUCKET, or the node."""
    if args.bucket is None:
        return "the node"
    return args.bucket if args.stream is None else f"{args.bucket}/{args.stream}"


def put_rows(rows, more, args, line_of):
    """A list: as it came, or a line for each."""
    if args.as_json:
        put(dump(rows))
    for row in [] if args.as_json else rows:
        put(line_of(row))
    if more and rows:
        last = rows[-1] if isinstance(rows[-1], str) else rows[-1].get("username", rows[-1].get("name"))
        say(f"ioriocli: there are more: go on with --after {last}")
    return EXIT_OK


# --- users ---

def cmd_list_users(client, args):
    users, more = Admin(client).list_users(args.after, args.limit, args.info)

    def line(user):
        groups = ", ".join(user.get("groups", ()))
        return f"{user.get('username')}" + (f"  in {groups}" if groups else "")
    return put_rows(users, more, args, line)


def cmd_create_user(client, args):
    password = new_password(args)
    Admin(client).create_user(text_for_json(args.user, "the name"), password)
    return done(args, f"user {args.user} is there")


def cmd_set_password(client, args):
    password = new_password(args)
    Admin(client).set_password(text_for_json(args.user, "the name"), password)
    return done(args, f"user {args.user} has the new password; sessions that began with the old one have ended")


def cmd_delete_user(client, args):
    Admin(client).delete_user(args.user)
    return done(args, f"there is no user {args.user} any more, and nothing that was granted to him")


# --- groups ---

def cmd_list_groups(client, args):
    if args.group is not None:
        members, more = Admin(client).list_members(args.group, args.after, args.limit)
        return put_rows(members, more, args, str)
    groups, more = Admin(client).list_groups(args.after, args.limit)

    def line(group):
        inside = ", ".join(group.get("groups", ()))
        return f"{group.get('name')}  members {group.get('members')}" + (f"  in {inside}" if inside else "")
    return put_rows(groups, more, args, line)


def cmd_create_group(client, args):
    Admin(client).create_group(text_for_json(args.group, "the name"))
    return done(args, f"group {args.group} is there")


def cmd_delete_group(client, args):
    Admin(client).delete_group(args.group)
    return done(args, f"there is no group {args.group} any more, and nothing that was granted to it")


def cmd_add_member(client, args):
    Admin(client).add_member(args.group, args.member)
    return done(args, f"{args.member} is in {args.group}")


def cmd_remove_member(client, args):
    Admin(client).remove_member(args.group, args.member)
    return done(args, f"{args.member} is not in {args.group} itself any more")


# --- grants ---

def cmd_grant(client, args):
    Admin(client).grant(text_for_json(args.role, "the role"), args.permission, args.bucket, args.stream)
    return done(args, f"{args.role} may {args.permission} on {place_of(args)}")


def cmd_revoke(client, args):
    Admin(client).revoke(text_for_json(args.role, "the role"), args.permission, args.bucket, args.stream)
    return done(args, f"{args.role} has no grant of {args.permission} on exactly {place_of(args)} any more")


def cmd_list_grants(client, args):
    grants = Admin(client).list_grants(args.bucket, args.stream)
    if args.as_json:
        put(dump(grants))
        return EXIT_OK
    for kind in ("users", "groups"):
        for row in grants.get(kind, ()):
            role = row["name"] if row["name"] == "*" else f"{kind[:-1]}/{row['name']}"
            put(f"{role}  {' '.join(row['grants'])}")
    return EXIT_OK


def cmd_explain(client, args):
    answer = Admin(client).explain(args.user, args.permission, args.bucket, args.stream)
    if args.as_json:
        put(dump(answer))
    elif answer["allowed"]:
        put(f"yes: {why(args, answer)}")
    else:
        put(f"no: {args.user} has no grant of {args.permission} on {place_of(args)}, nor have his groups or everybody")
    return EXIT_OK


def why(args, answer):
    """The grant that decides, and how he comes to it."""
    where = "/".join(answer[name] for name in ("bucket", "stream") if name in answer)
    where = f" on {where or 'everything'}" if args.bucket is not None else ""
    path = ", which is in ".join(answer.get("groups", ()))
    return f"{answer.get('role')} may {args.permission}{where}" + (f", and {args.user} is in {path}" if path else "")


# --- policies ---

FIELDS = (("max_events", "N", "keep at most the last N events of a stream"),
          ("max_bytes", "SIZE", "keep at most so many bytes of a stream: 4194304, 4MB"),
          ("max_age", "TIME", "keep events so long: 12h, 7d"),
          ("max_total_bytes", "SIZE", "all streams of the bucket together"))


def policy_of(args):
    """The policy that the options describe; None when there is no option."""
    given = {name: getattr(args, name) for name, _, _ in FIELDS if getattr(args, name) is not None}
    if args.policy is None:
        return {name: None if value == "none" else int(value) if value.isascii() and value.isdigit() else value
                for name, value in given.items()} or None
    if given:
        raise Usage("--policy is the whole policy: no other field goes with it")
    try:
        policy = json.loads(read_data(args.policy).decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise Usage(f"--policy is not JSON: {e}") from None
    if not isinstance(policy, dict):
        raise Usage("--policy is no JSON object")
    return policy


def policy_text(policy):
    words = [f"{name} {'no limit' if value is None else value}" for name, value in policy.items()]
    return ", ".join(words) or "no limit"


def cmd_get_policy(client, args):
    policy = Admin(client).get_policy(args.bucket, args.stream, args.effective)
    put(dump(policy) if args.as_json else policy_text(policy))
    return EXIT_OK


def cmd_set_policy(client, args):
    policy = policy_of(args)
    if policy is None:
        raise Usage("say what the policy is: --max-events, --max-bytes, --max-age, --max-total-bytes or --policy")
    Admin(client).set_policy(policy, args.bucket, args.stream)
    return done(args, f"{place_of(args)}: {policy_text(policy)}")


def cmd_delete_policy(client, args):
    Admin(client).delete_policy(args.bucket, args.stream)
    return done(args, f"{place_of(args)} has no policy of its own any more")


def cmd_preview_policy(client, args):
    answer = Admin(client).preview_policy(args.bucket, args.stream, policy_of(args))
    if args.as_json:
        put(dump(answer))
    else:
        put(f"{answer['events']} events ({answer.get('bytes')} bytes) of {answer.get('streams')} streams would go")
    return EXIT_OK


# --- the node ---

def cmd_stats(client, args):
    stats = Admin(client).stats()
    if args.as_json:
        put(dump(stats))
        return EXIT_OK
    for name, text in flat(stats if args.all else {k: v for k, v in stats.items() if k not in LONG_STATS}):
        put(f"{name:<28}  {text}")
    return EXIT_OK


def flat(value, name=""):
    """(name, text) of every member, those of objects and arrays with the names before a dot."""
    if not isinstance(value, (dict, list)):
        yield name, value if isinstance(value, str) else dump(value)
        return
    for key, member in value.items() if isinstance(value, dict) else enumerate(value):
        yield from flat(member, f"{name}.{key}" if name else str(key))


# --- the command line ---

def add_place(parser, nargs_bucket, what="BUCKET"):
    parser.add_argument("bucket", nargs=nargs_bucket, metavar=what)
    parser.add_argument("stream", nargs="?", metavar=what.replace("BUCKET", "STREAM"))


def add_paging(parser):
    parser.add_argument("--after", metavar="NAME", help="only those that sort after this one")
    parser.add_argument("-l", "--limit", type=whole(1, LIMIT_ALL), metavar="N", help="at most so many")


def add_password(parser):
    parser.add_argument("user")
    parser.add_argument("new_password", nargs="?", metavar="PASSWORD",
                        help="-: a line of standard input; without it: asked for, not shown. As an argument other users "
                             "of this machine can see it")


def add_users(verbs):
    p = add_verb(verbs, "list-users", cmd_list_users, "list users", "adminusers", ("list-users --info  # with groups",))
    p.add_argument("--info", action="store_true", help="the groups of each as well")
    add_paging(p)
    add_password(add_verb(verbs, "create-user", cmd_create_user, "make a user", "adminusers", (
        "create-user ann                      # asks for the password",
        "create-user ann - < password.txt")))
    add_password(add_verb(verbs, "set-password", cmd_set_password, "change a password", "adminusers", (
        "set-password admin                   # asks for the new one",
        "-u ann -p - set-password ann         # one's own: asks for the old one, then for the new one"),
        "the permission adminusers, but for one's own"))
    p = add_verb(verbs, "delete-user", cmd_delete_user, "remove a user and what was granted to him", "adminusers", (
        "delete-user ann",))
    p.add_argument("user")


def add_groups(verbs):
    p = add_verb(verbs, "list-groups", cmd_list_groups, "list groups, or who is in one", "adminusers", (
        "list-groups", "list-groups staff  # its members: user/NAME, group/NAME"))
    p.add_argument("group", nargs="?", help="its members instead")
    add_paging(p)
    p = add_verb(verbs, "create-group", cmd_create_group, "make a group", "adminusers", ("create-group staff",))
    p.add_argument("group")
    p = add_verb(verbs, "delete-group", cmd_delete_group, "remove a group and what was granted to it", "adminusers", (
        "delete-group staff",))
    p.add_argument("group")
    for name, handler, help_ in (("add-member", cmd_add_member, "put a user or a group into a group"),
                                 ("remove-member", cmd_remove_member, "take a user or a group out of a group")):
        p = add_verb(verbs, name, handler, help_, "adminusers", (f"{name} staff ann", f"{name} staff group/interns"))
        p.add_argument("group")
        p.add_argument("member", help="a name; user/NAME or group/NAME to be exact")


def add_grants(verbs):
    for name, handler, help_ in (("grant", cmd_grant, "let somebody do something"),
                                 ("revoke", cmd_revoke, "take back what exactly so was granted")):
        p = add_verb(verbs, name, handler, help_, "grant", (
            f"{name} ann put orders 2024     # on a stream",
            f"{name} ann get 'orders' '20*'  # on all streams of a bucket that begin so",
            f"{name} staff get orders        # on a bucket; staff is a group",
            f"{name} '*' get public          # everybody, also without a login",
            f"{name} bob viewstats           # on the node"))
        p.add_argument("role", help="a user, a group (user/NAME, group/NAME to be exact), or *")
        p.add_argument("permission", choices=PERMISSIONS, metavar="PERMISSION", help=", ".join(PERMISSIONS))
        add_place(p, "?")
    p = add_verb(verbs, "list-grants", cmd_list_grants, "list what was granted on exactly a stream, a bucket, the node",
                 "grant", ("list-grants orders 2024", "list-grants orders", "list-grants  # of the node"))
    add_place(p, "?")
    p = add_verb(verbs, "explain", cmd_explain, "say whether somebody may do something, and by which grant", "grant", (
        "explain ann put orders 2024", "explain bob viewstats"))
    p.add_argument("user")
    p.add_argument("permission", choices=PERMISSIONS, metavar="PERMISSION", help=", ".join(PERMISSIONS))
    add_place(p, "?")


def add_policies(verbs):
    p = add_verb(verbs, "get-policy", cmd_get_policy, "show how much of a bucket or a stream is kept", "grant", (
        "get-policy orders", "get-policy orders 2024 --effective"))
    add_place(p, None)
    p.add_argument("--effective", action="store_true", help="what holds, whoever said it; never `not found`")
    fields = []
    for name, handler, help_ in (
            ("set-policy", cmd_set_policy, "say how much of a bucket or a stream is kept; replaces what was said before"),
            ("preview-policy", cmd_preview_policy, "say what would go if this were the policy, or by what holds now")):
        p = add_verb(verbs, name, handler, help_, "grant", (
            f"{name} orders --max-age 7d --max-total-bytes 2GB", f"{name} orders 2024 --max-events 1000 --max-age none",
            f"get-policy orders | ioriocli.py {name} orders-copy --policy -"))
        add_place(p, None)
        fields.append(p)
    for p in fields:
        for field, metavar, help_ in FIELDS:
            p.add_argument(f"--{field.replace('_', '-')}", metavar=metavar, help=f"{help_}; none: no limit")
        p.add_argument("--policy", metavar="JSON", help="the policy as JSON, @file, or - for standard input")
    p = add_verb(verbs, "delete-policy", cmd_delete_policy, "let a bucket or a stream have no policy of its own", "grant", (
        "delete-policy orders",))
    add_place(p, None)


def add_verbs(verbs):
    """All of them, into the subparsers of ioriocli.py."""
    add_users(verbs)
    add_groups(verbs)
    add_grants(verbs)
    add_policies(verbs)
    p = add_verb(verbs, "stats", cmd_stats, "show the state of the node", "viewstats", (
        "stats", "stats --json | jq .memory"))
    p.add_argument("--all", action="store_true", help="for people: counters, gauges, histograms, buckets as well")
