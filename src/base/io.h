/* The result of one step of a non-blocking state machine. No two of these are ever merged. */
#ifndef BASE_IO_H
#define BASE_IO_H

enum io {
    IO_DONE,       /* it is finished, or made progress (see the function) */
    IO_WANT_READ,  /* call again when its descriptor is readable */
    IO_WANT_WRITE, /* call again when its descriptor is writable */
    IO_EOF,        /* the peer ended in an orderly way */
    IO_ERR         /* it failed; the struct err has the cause */
};

#endif
