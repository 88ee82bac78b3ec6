/* src/base/limits.h - every bound of the program, why it is there, and what
 * happens when it is reached. Bounds that a user may choose are in
 * config/keys.def; here are the ones that nobody should need to change. */
#pragma once

#include "base/assert.h"

/* Names (API.md section 1). Longer: 400 invalid-name. */
#define BUCKET_BYTES_MAX 255
#define STREAM_BYTES_MAX 1024
/* A route has at most this many segments; more: 404. */
#define PATH_SEGMENTS_MAX 8
/* Query parameters looked at; the others are ignored. More than LISTEN_SUBS_MAX. */
#define QUERY_PARAMS_MAX 96
/* Nesting of a JSON body. Deeper: 400 invalid-body. Bounds every later parser. */
#define JSON_DEPTH_MAX 64
/* Lines of one NDJSON batch (API.md section 3). More: 413. */
#define BATCH_LINES_MAX 10000
/* An Idempotency-Key is 1 to this many bytes, else 400; a stream remembers this many, the
 * oldest go first (Iorio-Dedupe-Window says so). */
#define IDEMPOTENCY_KEY_BYTES_MAX 128
#define DEDUPE_KEYS_MAX 10000
/* A token longer than this is not looked at: 401. */
#define TOKEN_BYTES_MAX 4096
/* User name and password of a login. Longer: 401 after the usual time. */
#define USERNAME_BYTES_MAX 255
#define PASSWORD_BYTES_MAX 1024
/* Verified tokens remembered per worker, some 370 bytes each when they are used; the oldest slot of
 * a bucket is overwritten. With 1024 of them a thousand clients pushed each other out. */
#define TOKEN_CACHE_SLOTS 8192

/* Messages waiting in one strand. More: BUSY (503). Completions are not counted. */
#define STRAND_QUEUE_MAX 4096
/* One visit to a strand: messages and microseconds, then the next turn. */
#define STRAND_VISIT_MESSAGES 64
#define STRAND_VISIT_US 200
/* Worker threads. */
#define WORKERS_MAX 64
/* Password checks waiting for the crypto thread. More: 503 with Retry-After. */
#define CRYPTO_QUEUE_MAX 64
/* Passwords that were right are remembered so long, and so many of them: what the crypto thread
 * can check in that time (25 a second). More: the oldest of a bucket is checked again. */
#define LOGIN_CACHE_MS 600000
#define LOGIN_CACHE_SLOTS 16384
/* Logins answered at once, and then a second: more wait for their turn, so that a storm of
 * logins leaves the workers to those who write. More that wait: 503 with Retry-After. */
#define LOGIN_ANSWERS_BURST 100
#define LOGIN_ANSWERS_PER_S 1000
#define LOGIN_ANSWERS_WAITING 8192
/* The JSON of a login: name and password with every byte escaped, and some more. Longer: 413. */
#define LOGIN_JSON_BYTES_MAX 16384
/* Tokens that were taken back one by one and are not over yet: 120 bytes of memory each. More of
 * one user, or in all: his logout ends all of his tokens, which takes no room. */
#define REVOKED_USER_MAX 1000
#define REVOKED_MAX 50000
/* Lines about logins in the log, a second of each kind; the others are counted. */
#define LOGIN_LOG_LINES_PER_S 20

/* Journal: a batch is at most this, or one larger record alone. */
#define JOURNAL_BATCH_BYTES_MAX (4u << 20)
/* Records in one batch: bounds the size of the hand-over lists. */
#define JOURNAL_BATCH_RECORDS_MAX 16384
/* After this long without a record an empty MARK batch is synced. */
#define JOURNAL_MARK_IDLE_MS 100
/* Disk full: how often a new segment is tried again. */
#define JOURNAL_NOSPC_RETRY_MS 1000
/* Disk full: so much of the last segment is for truncating and deleting. */
#define JOURNAL_TRIM_BYTES (1u << 20)
/* Disk full: files that must be left for chunks, beside those that the tail may need. */
#define DISK_FILES_RESERVED 64
/* One record: the largest body plus room for names and item heads. */
#define RECORD_BYTES_MAX ((1u << 30) + (8u << 20))
/* Attributes of one item. */
#define ITEM_ATTRS_BYTES_MAX 65536

/* A checkpoint is made at least this often when something changed, and a failed one (a full
 * disk) is tried again after a second. */
#define CHECKPOINT_INTERVAL_MS 60000
#define CHECKPOINT_RETRY_MS 1000
/* Idempotency keys stay in the catalog so much longer than their window: clocks jump. */
#define CHECKPOINT_KEYS_MARGIN_MS 3600000
/* How old the saved clock of retention may get on a node where nothing changes. */
#define CHECKPOINT_CLOCK_MS 86400000
/* Between two sweeps of retention when policies change all the time. */
#define SWEEP_PAUSE_MS 1000
/* The node's own stream of metrics is kept so long, unless it has a policy: some 4 MB a day. */
#define REPORT_KEEP_MS (30ull * 86400000)
/* Previews of policies at a time. More: 503. */
#define PREVIEWS_MAX 4
/* The catalog's file is sparse and may grow up to this; more: NOSPC, appends go on until
 * memory.tail is full. */
#define CATALOG_MAP_BYTES (64ull << 30)
/* Up to this size the catalog's pages are looked at before every start, which is to take no more
 * than half a second of it on a slow machine; a larger one only after a stop that was not clean. */
#define CATALOG_START_WALK_BYTES (256ull << 20)
/* Reads of the disk that wait for a thread. More: 503. */
#define DISK_QUEUE_MAX 16384
#define DISK_THREADS 2
/* A stream that nobody used for so long leaves memory; the catalog has it. */
#define STREAM_IDLE_MS 60000

/* Entries and bytes handed to a reader in one visit of the vnode: a long answer of small events
 * goes through two threads a visit, so 1,024 gave twice the events a second of 256. */
#define READ_VISIT_ENTRIES 1024
#define READ_VISIT_BYTES (1u << 20)
/* Names in one page of a listing, and looked at in one visit of a vnode. */
#define LIST_NAMES_MAX 100000
#define LIST_VISIT_NAMES 2000
/* An answer of at most this is sent with a Content-Length; longer: chunked. */
#define REPLY_WHOLE_BYTES (256u << 10)

/* GET /listen: subscriptions (s=) of one request; more: 400. Each takes 11 bytes of the
 * cursor, which has to fit CURSOR_BYTES_MAX. */
#define LISTEN_SUBS_MAX 64
/* A cursor as text (API.md section 5). A longer one is not looked at. */
#define CURSOR_BYTES_MAX 1024
/* One COMET answer holds about so much, or one larger event alone. */
#define LISTEN_ANSWER_BYTES (4u << 20)
/* The longest wait=; more is cut to it. */
#define LISTEN_WAIT_S_MAX 300
/* Watches in a node, some 250 bytes each: bounds what waiting listeners cost. More: 503. */
#define WATCHES_MAX (1u << 18)

/* Headers of one request; h2o is built with the same number. More: 431. */
#define HTTP_HEADERS_MAX 100
/* What a chunk's size line, or all trailers together, may hold beside what they must: 400. */
#define HTTP_CHUNK_EXTRA_BYTES_MAX 4096
/* A body of more than this is not waited for when its head says that it will be refused. */
#define HTTP_PROBE_BYTES (16u << 10)
/* A body that is no event (logins, policies, users; also of a GET, which ignores it). More: 413. */
#define HTTP_SMALL_BODY_BYTES_MAX (64u << 10)
/* A body must come as fast as http.body.rate says, on average over so long. */
#define HTTP_BODY_WINDOW_MS 10000
/* A refused client may go on sending for so long, and so much, until its connection is cut. */
#define HTTP_LINGER_MS 2000
#define HTTP_LINGER_BYTES_MAX (64u << 20)
/* So many of them at a time; the others are cut at once. Descriptors of FDS_RESERVED. */
#define HTTP_LINGERS_MAX 256
/* HTTP/2, each connection: requests that the client cancels in 10 s, requests a second, and frames
 * without a request or a body a second. More: the connection is cut. */
#define HTTP2_CANCELLED_MAX 200
#define HTTP2_CANCELLED_MS 10000
#define HTTP2_REQUESTS_MAX 20000
#define HTTP2_IDLE_FRAMES_MAX 10000
/* Clients that rate limits remember (src/auth/limit.h), 16 bytes each: addresses, and users or
 * buckets. More at a time: those that are nearest to idle are forgotten. */
#define LIMIT_ADDRESSES 65536
#define LIMIT_NAMES 16384
/* Buckets whose contents are counted for limits.bucket.* although no stream of theirs is in memory.
 * More: those that were not written to for the longest time are counted anew when they are. */
#define QUOTA_BUCKETS_KEPT 16384
/* Addresses and networks in one key. More: an error of the configuration. */
#define NETWORKS_MAX 64
/* Proxies in X-Forwarded-For or Forwarded that are looked at, from the last one back. */
#define FORWARDED_HOPS_MAX 16
/* Requests in flight on one worker: tickets. More: 503. */
#define HTTP_CALLS_MAX 65536
/* The JSON file of an extension handler (extension.config.NAME). Larger: the node does not start.
 */
#define EXTENSION_CONFIG_BYTES_MAX (64u << 10)
/* The request log: a path is shown up to this; lines wait in pieces of this size, so many for each
 * worker. More: requests are left out and counted. */
#define REQUEST_LOG_PATH_BYTES_MAX 2048
#define REQUEST_LOG_PIECE_BYTES (64u << 10)
#define REQUEST_LOG_PIECES_MAX 16
/* Descriptors kept back from connections: segments, chunks, the catalog, logs. */
#define FDS_RESERVED 1024
/* A value that a fact may hold (users, grants): larger is refused. */
#define FACT_BYTES_MAX (64u << 10)
/* Users: some 900 bytes of memory each, 1.2 KB with a bucket. Groups. Grants in all (one for each
 * role and target, whatever its permissions): some 300 bytes each; and on one bucket with its
 * streams, so that whoever owns one cannot use up those of others. One more: 507. */
#define USERS_MAX 100000
#define GROUPS_MAX 4096
#define GRANTS_MAX 400000
#define GRANTS_OF_BUCKET_MAX 20000
/* Grants of one role on patterns of buckets, and on patterns of streams of one bucket: each is
 * compared at every question. More: 507. */
#define GRANT_PATTERNS_MAX 256
/* Groups that one user or group is a direct member of. More: 507. */
#define MEMBERSHIPS_MAX 64
/* The JSON of a request about users, groups and grants. Longer: 413. */
#define ACCESS_JSON_BYTES_MAX 16384
/* Groups that facts may name, whether they exist or not: a question about the groups of groups
 * has a bit for each. More: the change is refused, a start with them too. */
#define GROUP_IDS_MAX 8192
/* A limit in a retention policy: the largest whole number that every reader of JSON keeps.
 * More: 400 invalid-field. */
#define RETENTION_VALUE_MAX 9007199254740991
/* The JSON of a retention policy. Longer: 413. */
#define RETENTION_JSON_BYTES_MAX 4096
/* Buckets that have counters of their own in the metrics; the others are counted together, as
 * `other`. Bounds the labels of Prometheus: whoever may append can make buckets. */
#define METRIC_BUCKETS_MAX 100
/* Retention policies of buckets and streams together: some 300 bytes of memory each. More: 507.
 * Changes that are under way are not counted. */
#define RETENTION_POLICIES_MAX 200000

/* PATCH of a stream. Operations of one patch; its bytes (a test of the whole document and its
 * successor fit); the bytes of the document, before it and after each operation. More: 413. */
#define PATCH_OPS_MAX 1000
#define PATCH_BODY_BYTES_MAX (2u << 20)
#define PATCH_DOC_BYTES_MAX (1u << 20)
/* Work (some 100 ms) and memory for one patch, which only large documents need. More: 413. */
#define PATCH_STEPS_MAX (1u << 24)
#define PATCH_MEMORY_MAX (64u << 20)
/* Inside the strand, some 100 us; a patch that needs more is computed by the disk pool, and again
 * when the stream went on meanwhile, at most so often: then 409. */
#define PATCH_INLINE_DOC_BYTES (8u << 10)
#define PATCH_INLINE_STEPS 4096
#define PATCH_INLINE_MEMORY (256u << 10)
#define PATCH_TRIES_MAX 32

IOR_STATIC_ASSERT(GROUP_IDS_MAX >= 2 * GROUPS_MAX, "names that are left over find an id");
IOR_STATIC_ASSERT(RECORD_BYTES_MAX > (1u << 30), "a record holds the largest body");
IOR_STATIC_ASSERT(QUERY_PARAMS_MAX > LISTEN_SUBS_MAX + 16, "all of s= and the others are seen");
IOR_STATIC_ASSERT(READ_VISIT_ENTRIES <= LIST_NAMES_MAX, "visits are small");
