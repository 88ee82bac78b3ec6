/* src/store/chunk_scan.h - a chunk's bytes, piece by piece: what reading, sealing and
 * finding a lost state share. Private to chunk_*.c.
 * Nothing that the file says makes this take more memory than the file has bytes. */
#pragma once

#include "store/chunk_format.h"

/* A piece of the file in memory. Entries lie in front of limit_bytes. */
struct chunk_window {
    struct disk_file *file;
    const char *path;
    uint32_t seed;
    uint64_t uid;
    uint64_t limit_bytes;
    struct ior_blob *blob; /* owned; NULL: nothing yet */
    uint64_t offset_bytes; /* what of the file it holds */
    size_t size_bytes;
};

void chunk_window_done(struct chunk_window *w);
/* Is the whole entry that begins here in memory? */
bool chunk_window_has(const struct chunk_window *w, uint64_t offset_bytes);
/* The entry of at->seqnum at at->offset_bytes, sound but for its payload. Reads want_bytes
 * (or as many as the entry has) from there on when it is not in memory: what was given
 * before is gone then. CORRUPT with *why; IO, NOMEM. */
IOR_MUST_CHECK enum ior_err chunk_window_entry(struct chunk_window *w, const struct chunk_mark *at,
                                               size_t want_bytes, struct chunk_entry *ret,
                                               size_t *ret_length_bytes, struct ior_why *why);
/* "path: damage at offset N: what" */
enum ior_err chunk_damage(struct ior_why *why, const char *path, uint64_t offset_bytes,
                          const char *what);

/* Every CHUNK_INDEX_EVERY_BYTES a mark. */
struct chunk_index {
    struct chunk_mark *marks; /* owned */
    size_t count;
    size_t room;
};
/* Room for `more` further marks. NOMEM. */
IOR_MUST_CHECK enum ior_err chunk_index_reserve(struct chunk_index *x, size_t more);
/* An entry begins here: a mark when one is due. Without room there is none. */
void chunk_index_note(struct chunk_index *x, struct chunk_mark at);

/* The head of the file, which must be of this chunk. Names are slices into head. */
IOR_MUST_CHECK enum ior_err chunk_head_read(struct disk_file *file, const char *path,
                                            const struct chunk_id *wanted,
                                            uint8_t head[CHUNK_HEAD_BYTES_MAX],
                                            struct chunk_id *ret, size_t *ret_head_bytes,
                                            struct ior_why *why);
/* The footer at the end of the file. *ret_found false: there is no sound one. */
IOR_MUST_CHECK enum ior_err chunk_footer_read(struct chunk_window *w,
                                              const struct chunk_mark *first,
                                              struct chunk_state *ret, struct chunk_index *x,
                                              bool *ret_found);
/* Go on from where state ends up to the limit, all checksums included; state and index (may
 * lack marks when memory does) keep what was sound. CORRUPT with *why: the next is not. */
IOR_MUST_CHECK enum ior_err chunk_scan(struct chunk_window *w, uint64_t first_seqnum,
                                       struct chunk_state *state, struct chunk_index *x,
                                       struct ior_why *why);
/* Is there an entry of seqnum from_seqnum or a later one behind this offset? */
IOR_MUST_CHECK enum ior_err chunk_find_later(struct chunk_window *w, uint64_t offset_bytes,
                                             uint64_t from_seqnum, bool *ret_found,
                                             struct chunk_mark *ret);
