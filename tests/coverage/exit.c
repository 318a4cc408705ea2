/* Linked into the coverage variant with --wrap=_exit: worker processes end without atexit's
 * handlers, and what they went through is to be counted as well. */
void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
