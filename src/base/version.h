/* The version of the program, as --version, man pages and the User-Agent header have it; the first
 * section of CHANGELOG.md is about it. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define VERSION "0.2.0"
#define VERSION_DATE "2026-11-27"

#endif
