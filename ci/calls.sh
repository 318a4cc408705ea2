#!/bin/sh
# ci/calls.sh: what src/ calls of libc is either known to tests/faults/faults.c, which makes it
# fail, or stands here among what cannot fail, or whose failure changes nothing.
set -eu
cd "$(dirname "$0")/.."
. ci/flags.sh
ci/variant.sh musl
harmless='
memory and text: _GLOBAL_OFFSET_TABLE_ __ehdr_start __errno_location __stack_chk_fail abort atoi bsearch
  explicit_bzero free memchr memcmp memcpy memmem memmove memset qsort strchr strcmp strcspn
  strcpy strerror strlen strncat strncmp strrchr strsignal strspn strstr strtod strtoll strtoul strtoull strtok_r
  strnlen strcasecmp strncasecmp isalnum toupper isatty snprintf vsnprintf tdestroy tfind tdelete twalk lfind
text for the user, whose end is looked at once (cmd_finish): ferror fprintf fputc fputs fwrite
  printf putchar puts stderr stdout stdin vfprintf fileno
addresses: freeaddrinfo gai_strerror getnameinfo htonl htons if_nametoindex in6addr_any
  in6addr_loopback inet_ntop inet_pton ntohl ntohs
time: clock_getcpuclockid clock_gettime gmtime_r localtime_r nanosleep strftime timegm tzset
who and where: environ getegid geteuid getgid getuid getenv getpid getppid getpriority getrusage
  sysconf umask getgroups
processes and signals: _exit exit kill raise setpriority prctl sigaction sigaddset sigdelset
  sigemptyset sigfillset signal sigprocmask sigtimedwait nice sched_yield
  __libc_current_sigrtmin __libc_current_sigrtmax
best effort: closedir dirfd getauxval madvise mmap mprotect mremap munmap statfs rewinddir tcgetattr tcsetattr
'
variant_flags musl
gcc $language -c -o "$dir/faults.o" tests/faults/faults.c
known=$(printf '%s\n' "$harmless" | sed 's/^[a-z].*: //' | tr -s ' ' '\n'
    nm "$dir/faults.o" | sed -n 's/.* T __wrap_//p')
objects() { find "$dir/obj" "$dir/third" -name '*.o'; }
objects | xargs nm --defined-only 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u > "$dir/defined"
find "$dir/obj" -name '*.o' | xargs nm -u | awk '$1 == "U" { print $2 }' | sort -u |
    comm -23 - "$dir/defined" > "$dir/called"
unknown=$(printf '%s\n' $known | sort -u | comm -13 - "$dir/called")
[ -z "$unknown" ] || {
    echo "calls that tests/faults/faults.c does not know:" $unknown >&2
    exit 1
}
