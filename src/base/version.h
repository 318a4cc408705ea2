/* The program's version, as --version and the User-Agent header tell it. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define VERSION "0.1.0"

#endif
