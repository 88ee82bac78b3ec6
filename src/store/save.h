/* src/store/save.h - what a checkpoint writes (ARCHITECTURE.md section 7): the committed events
 * of streams into chunk files, or into the catalog while a stream is small; the rows of
 * streams and groups; chunks whose events are all below low into the graveyard.
 * Happy path: save_stream() for each stream that changed, save_group() for the group it
 * belongs to, save_commit(). Events are written behind what the catalog names and synced
 * before the transaction that names them is committed; files are removed only after the
 * transaction that buried them was (save_unlink_buried).
 * A stream may be given again with events that are saved already (a checkpoint that failed
 * half way, a replay): they are passed over. So everything here may be repeated.
 * A stream has either chunks or one small value. When low passes all its chunks it has none, and
 * may be small again.
 * Failure modes: NOSPC, IO, NOMEM, ACCESS, VERSION, CORRUPT with *why: what was committed stays.
 * After an error of save_stream(), save_group(), save_meta(), save_expire_keys() or
 * save_commit() only save_abort() or save_free() may follow (asserted): so a group's row is
 * never committed without its streams. Bytes behind the catalog's word are garbage that the next
 * attempt overwrites. A commit that failed may still turn out to be there at the next open
 * (kv.h); the object remembers that, and makes another commit before it touches a file that
 * the failed one may name: so it must not be replaced by a new one on the same open kv.
 * Thread: one; the only writer of the catalog. */
#pragma once

#include "store/catalog.h"

enum { SAVE_ROWS_MAX = 10000 }; /* of a transaction: then it is committed and a new one begins */

struct save_params {
    struct disk *disk; /* borrowed, like kv */
    struct kv *kv;
    uint64_t chunk_items_max; /* a chunk is sealed at either */
    uint64_t chunk_bytes_max; /* of its entries; one larger event still goes in whole */
    /* Of the value of a stream without a chunk (small.h), its version byte and checksum not
     * counted: more, and it gets one. At most CATALOG_SMALL_BYTES_MAX. */
    uint64_t small_bytes_max;
    /* A chunk is no longer named (buried), or longer than it was: for whoever keeps it open.
     * Called behind the commit, on the thread that commits; NULL: nobody keeps any. */
    void (*on_buried)(void *ctx, uint32_t partition, uint64_t uid, uint64_t first_seqnum);
    void *ctx;
};

struct save_stream {
    /* As of this checkpoint; bucket_id is found here. low and high do not go back. Of a deleted
     * stream no event is kept. */
    struct stream_row row;
    struct ior_slice bucket; /* its name */
    /* Ids first_seqnum, first_seqnum + 1, ..., row.high: dense, every id from row.low on that
     * is not saved yet among them. Those below row.low are not written. */
    const struct chunk_event *events;
    size_t count;
    uint64_t first_seqnum;
    const struct key_row *keys; /* new ones; those that are there already are replaced */
    size_t key_count;
};

struct save;
IOR_MUST_CHECK enum ior_err save_new(const struct save_params *p, struct save **ret);
void save_free(struct save *s); /* NULL is fine; an open transaction is given up */
/* Begins a transaction when none is open. Files are written and synced here, one open at a
 * time. The rows of a stream are put together; at SAVE_ROWS_MAX rows the transaction is
 * committed behind them, and in front of a stream that is in it already. CORRUPT: the row
 * goes back, events are neither saved nor given, the chunk to go on with is damaged or gone. */
IOR_MUST_CHECK enum ior_err save_stream(struct save *s, const struct save_stream *what,
                                        struct ior_why *why);
IOR_MUST_CHECK enum ior_err save_group(struct save *s, uint32_t group, const struct group_row *row);
/* catalog_put_meta() in the open transaction; the name `settled` is taken. */
IOR_MUST_CHECK enum ior_err save_meta(struct save *s, const char *name, struct ior_slice value);
/* Keys of streams of this partition whose record is older than this go. Those that were put since
 * the last commit are not looked at. */
IOR_MUST_CHECK enum ior_err save_expire_keys(struct save *s, uint32_t partition,
                                             uint64_t before_time_ms);
/* Nothing is open: nothing is done. After an error the transaction is gone. */
IOR_MUST_CHECK enum ior_err save_commit(struct save *s);
/* New files of the transaction are removed. */
void save_abort(struct save *s);
/* Remove the files that are in the graveyard (at most max of them; *ret_more: there are more),
 * then their folders when these are empty, then their rows. Missing files are fine. No
 * transaction is open, before or after. In the folders of these files, chunk files below
 * low that the catalog does not name are removed as well: checkpoints that were not finished
 * left them. An error
 * leaves the graveyard as it was. */
IOR_MUST_CHECK enum ior_err save_unlink_buried(struct save *s, size_t max, bool *ret_more,
                                               struct ior_why *why);
