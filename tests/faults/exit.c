/* Linked into the sanitized and the counted variant with --wrap=_exit: worker processes end without
 * atexit's handlers, and what they went through and what they lost are to be told as well. */
#ifdef COUNTED
void __gcov_dump(void);
#endif
void __lsan_do_leak_check(void) __attribute__((weak));
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

void __wrap__exit(int status)
{
#ifdef COUNTED
    __gcov_dump();
#endif
    if (__lsan_do_leak_check)
        __lsan_do_leak_check();
    __real__exit(status);
}
