/* test/fuzz/replay_main.c - runs inputs through a fuzz target without libFuzzer:
 * every file of the folders and files given, in the order of their names.
 * Prints `N inputs replayed`; exit 1 if there was none, or one cannot be read.
 * When an input kills the target, its path is the last line on standard error. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);
/* Only there in a build with a sanitizer, which ends the process in its own way. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { PATH_BYTES = 4096, FOLDERS_DEEP_MAX = 8 };

static char current[PATH_BYTES]; /* the path of the input that runs */
static unsigned long replayed;

static void say_current(void)
{
    const char *parts[] = {"replay: the input was ", current, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) return;
    }
}

static void on_signal(int number)
{
    say_current();
    signal(number, SIG_DFL);
    raise(number);
}

_Noreturn static void give_up(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(1);
}

/* The input gets memory of its exact size: a sanitizer sees a read behind its end. */
static void replay_file(const char *path, size_t size_bytes)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) give_up(path);
    uint8_t *data = malloc(size_bytes == 0 ? 1 : size_bytes);
    if (data == NULL) give_up(path);
    if (fread(data, 1, size_bytes, in) != size_bytes) give_up(path);
    fclose(in);
    snprintf(current, sizeof current, "%s", path);
    LLVMFuzzerTestOneInput(data, size_bytes);
    replayed++;
    free(data);
}

static int shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay(const char *path, int deep)
{
    struct stat st;
    if (stat(path, &st) != 0) give_up(path);
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return;
    }
    struct dirent **entries = NULL;
    errno = ELOOP;
    if (deep == FOLDERS_DEEP_MAX) give_up(path);
    const int count = scandir(path, &entries, shown, alphasort);
    if (count < 0) give_up(path);
    for (int i = 0; i < count; i++) {
        char below[PATH_BYTES];
        const int size = snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
        errno = ENAMETOOLONG;
        if (size < 0 || (size_t)size >= sizeof below) give_up(path);
        replay(below, deep + 1);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(say_current);
    } else {
        for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) signal(deadly[i], on_signal);
    }
    for (int i = 1; i < argc; i++) replay(argv[i], 0);
    printf("%lu inputs replayed\n", replayed);
    return replayed > 0 ? 0 : 1;
}
