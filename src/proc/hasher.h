/*
 * SHA-1 of bytes that the caller receives or sends, in a child beside it: on a second processor the
 * hashing costs no time. The bytes are copied to, or read into, a ring that both have mapped.
 *
 * The child reads and writes no file, connects to nothing, forks nothing. Its messages: {"bytes":N}
 * for each piece in the ring, in order; it sends the message back when the piece is hashed.
 */
#ifndef PROC_HASHER_H
#define PROC_HASHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha1.h"
#include "base/str.h"

/* For less than the first, a process is not worth its while. A piece takes the child less than a
 * millisecond. */
enum { HASHER_MIN_BYTES = 8 << 20, HASHER_PIECE_BYTES = 256 << 10, HASHER_PIECES = 8 };

struct hasher;

/* Starts a child that goes on with a hash, of which `bytes` bytes are to come. NULL where that is
 * not worth its while, or not possible: then the caller hashes. */
struct hasher *hasher_new(const struct sha1 *begun, int64_t bytes);

/* Takes the next bytes; waits while the ring is full. False when the child is lost: the hash cannot
 * be had any more. */
bool hasher_add(struct hasher *h, struct str data);

/* Returns room for HASHER_PIECE_BYTES in the ring, of which the child then hashes what hasher_give
 * says, at least one; waits while the ring is full. They stay there until HASHER_PIECES - 1 more
 * pieces are given. NULL and false as hasher_add, which goes with none of them. */
char *hasher_piece(struct hasher *h);
bool hasher_give(struct hasher *h, size_t bytes);

/* For callers that must not wait: returns how many bytes hasher_add takes without waiting; SIZE_MAX
 * when the child is lost. */
size_t hasher_room(const struct hasher *h);

/* Returns the descriptor that can be read when the child has hashed more, or is lost. */
int hasher_fd(const struct hasher *h);

/* Takes what the child has answered, without waiting. False as hasher_add. */
bool hasher_look(struct hasher *h);

/* Gives the child what was added. Returns true when all of it is hashed: then hasher_state does not
 * wait. */
bool hasher_finish(struct hasher *h);

/* Waits until all bytes are hashed, and copies the state. False as hasher_add. */
bool hasher_state(struct hasher *h, struct sha1 *out);

/* Writes how a lost child ended: "killed by SIGKILL: …"; `out` has CHILD_MAX_WORDS_BYTES. */
void hasher_put_end(const struct hasher *h, char *out);

/* Ends the child. NULL-safe. */
void hasher_free(struct hasher *h);

#endif
