/*
 * What a power cut would leave of a server's files: an LD_PRELOAD shim for redis-server.
 *
 * A killed process loses nothing it has written, because the kernel still has it. A machine without
 * power does. This shim writes down what the server has really made durable, so that a test can kill
 * it and then take everything else away:
 *
 *   $POWERCUT_STATE/len/<inode>   the length of the file that a finished fsync or fdatasync covers,
 *                                 taken before the sync began; 20 digits
 *   $POWERCUT_STATE/names         names that are durable, appended as they become so:
 *                                   F <inode> <path>   a file's first finished sync makes its name last
 *                                   D <dir>            a directory was synced; its names follow as
 *                                   E <inode> <path>
 *   $POWERCUT_STATE/grave/<inode> a hard link to each synced file that was unlinked or renamed over:
 *                                 without a sync of its directory, it comes back
 *   $POWERCUT_STATE/control       four 64-bit numbers, shared memory: microseconds to add to each sync;
 *                                 disk full (1: the next write is cut short, 2: none succeeds); syncs
 *                                 slowed; writes refused
 *
 * Only files below $POWERCUT_DATA count. A truncation is taken as durable at once, which can only make
 * a cut harsher than a real one. Creating a file and syncing it makes its name durable, as every
 * journaling file system of Linux does; a rename or an unlink needs the sync of its directory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIGITS 20
#define PATH_ROOM (PATH_MAX + 64)

struct control {
    volatile uint64_t slow_us, disk_full, slowed, refused;
};

static struct control *control; /* NULL: the shim does nothing */
static char data_dir[PATH_MAX], state_dir[PATH_MAX];
static int names = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The functions that are shadowed here, as the next library has them. */
#define NEXT(type, name, ...)                                  \
    static type (*next)(__VA_ARGS__);                          \
    if (!next) next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* Our own files are opened past the shadows. */
static int raw_open(const char *path, int flags, int mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void hold(void) { pthread_mutex_lock(&lock); }
static void let_go(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void begin(void) {
    const char *data = getenv("POWERCUT_DATA"), *state = getenv("POWERCUT_STATE");
    char path[PATH_ROOM];
    if (!data || !state || strlen(data) >= PATH_MAX || strlen(state) >= PATH_MAX) return;
    strcpy(data_dir, data);
    strcpy(state_dir, state);
    snprintf(path, sizeof path, "%s/names", state_dir);
    names = raw_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    snprintf(path, sizeof path, "%s/control", state_dir);
    int fd = raw_open(path, O_RDWR | O_CLOEXEC, 0);
    if (names < 0 || fd < 0) {
        fprintf(stderr, "powercut: no state in %s\n", state_dir);
        _exit(97);
    }
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) _exit(97);
    syscall(SYS_close, fd);
    /* The server forks to rewrite its log; the child must not inherit a lock nobody will release. */
    pthread_atfork(hold, let_go, let_go);
    control = page;
}

/* The path below the data directory ("." for itself), or NULL for what is none of our business. */
static const char *below(const char *path, char *room) {
    size_t length = strlen(data_dir);
    if (!control || !path) return NULL;
    while (path[0] == '.' && path[1] == '/') path += 2;
    if (path[0] != '/') {
        if (!getcwd(room, PATH_MAX)) return NULL;
        size_t used = strlen(room);
        snprintf(room + used, PATH_ROOM - used, "/%s", path);
    } else {
        snprintf(room, PATH_ROOM, "%s", path);
    }
    if (strncmp(room, data_dir, length) != 0) return NULL;
    if (room[length] == 0 || strcmp(room + length, "/.") == 0) return ".";
    return room[length] == '/' ? room + length + 1 : NULL;
}

static const char *below_fd(int fd, char *room) {
    char link[64], path[PATH_ROOM];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length <= 0) return NULL;
    path[length] = 0;
    return below(path, room);
}

static void state_path(char *path, const char *folder, ino_t inode) {
    snprintf(path, PATH_ROOM, "%s/%s/%llu", state_dir, folder, (unsigned long long)inode);
}

/* Notes a durable length: at most `length` when `only_less`, else at least. True: first of this file. */
static int note_length(ino_t inode, off_t length, int only_less) {
    char path[PATH_ROOM], digits[DIGITS + 1] = {0};
    state_path(path, "len", inode);
    hold();
    int fd = raw_open(path, only_less ? O_RDWR : O_RDWR | O_CREAT, 0600);
    if (fd < 0) {
        let_go();
        return 0;
    }
    int known = pread(fd, digits, DIGITS, 0) == DIGITS;
    long long noted = known ? atoll(digits) : 0;
    if (known ? (only_less ? length < noted : length > noted) : !only_less) {
        snprintf(digits, sizeof digits, "%020lld", (long long)length);
        if (pwrite(fd, digits, DIGITS, 0) != DIGITS) abort();
    }
    syscall(SYS_close, fd);
    let_go();
    return !known;
}

/* A file came to be: an inode number may have belonged to another one before. */
static void note_new(int fd) {
    struct stat now;
    char path[PATH_ROOM];
    if (fstat(fd, &now) != 0) return;
    state_path(path, "len", now.st_ino);
    syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* Keeps the bytes of a synced file whose name is about to go. */
static void bury(const char *path) {
    struct stat now;
    char room[PATH_ROOM], noted[PATH_ROOM], grave[PATH_ROOM];
    if (!below(path, room) || stat(path, &now) != 0 || !S_ISREG(now.st_mode)) return;
    state_path(noted, "len", now.st_ino);
    if (access(noted, F_OK) != 0) return;
    state_path(grave, "grave", now.st_ino);
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0);
}

static void note_names(const char *text, size_t length) {
    if (syscall(SYS_write, names, text, length) != (long)length) abort();
}

/* What a directory holds before its sync is what the sync makes last. */
static size_t list(const char *dir, char *text, size_t room) {
    char path[PATH_ROOM];
    struct dirent *entry;
    size_t used = (size_t)snprintf(text, room, "D %s\n", dir);
    snprintf(path, sizeof path, "%s/%s", data_dir, dir);
    DIR *open = opendir(path);
    while (open && (entry = readdir(open))) {
        if (entry->d_type != DT_REG || used + NAME_MAX + 64 > room) continue;
        used += (size_t)snprintf(text + used, room - used, "E %llu %s/%s\n",
                                 (unsigned long long)entry->d_ino, dir, entry->d_name);
    }
    if (open) closedir(open);
    return used;
}

static int sync_noted(int fd, int (*sync)(int)) {
    struct stat before;
    char room[PATH_ROOM], text[16384];
    const char *path = control && fstat(fd, &before) == 0 ? below_fd(fd, room) : NULL;
    size_t listed = path && S_ISDIR(before.st_mode) ? list(path, text, sizeof text) : 0;
    if (path && control->slow_us) {
        usleep((useconds_t)control->slow_us);
        __sync_fetch_and_add(&control->slowed, 1);
    }
    int result = sync(fd);
    if (result == 0 && listed) {
        note_names(text, listed);
    } else if (result == 0 && path && S_ISREG(before.st_mode)) {
        if (note_length(before.st_ino, before.st_size, 0)) {
            int length = snprintf(text, sizeof text, "F %llu %s\n",
                                  (unsigned long long)before.st_ino, path);
            note_names(text, (size_t)length);
        }
    }
    return result;
}

int fsync(int fd) {
    NEXT(int, "fsync", int);
    return sync_noted(fd, next);
}

int fdatasync(int fd) {
    NEXT(int, "fdatasync", int);
    return sync_noted(fd, next);
}

/* 1: full for this write, 0: not. The first one to be hit may write half of what it wanted. */
static int full(int fd, size_t *length) {
    struct stat now;
    char room[PATH_ROOM];
    if (!control || !control->disk_full || fd < 3) return 0;
    if (fstat(fd, &now) != 0 || !S_ISREG(now.st_mode) || !below_fd(fd, room)) return 0;
    __sync_fetch_and_add(&control->refused, 1);
    if (*length > 1 && __sync_bool_compare_and_swap(&control->disk_full, 1, 2)) {
        *length /= 2;
        return 0;
    }
    errno = ENOSPC;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    return full(fd, &length) ? -1 : next(fd, bytes, length);
}

static int open_noted(const char *path, int flags, int mode, int (*open)(const char *, int, ...)) {
    struct stat before;
    char room[PATH_ROOM];
    int ours = (flags & (O_CREAT | O_TRUNC)) && below(path, room);
    int existed = ours && stat(path, &before) == 0;
    int fd = open(path, flags, mode);
    if (fd >= 0 && ours && !existed) note_new(fd);
    if (fd >= 0 && existed && (flags & O_TRUNC)) note_length(before.st_ino, 0, 1);
    return fd;
}

#define MODE_OF(flags, mode)                          \
    int mode = 0;                                     \
    if ((flags) & O_CREAT) {                          \
        va_list rest;                                 \
        va_start(rest, flags);                        \
        mode = va_arg(rest, int);                     \
        va_end(rest);                                 \
    }

int open(const char *path, int flags, ...) {
    NEXT(int, "open", const char *, int, ...);
    MODE_OF(flags, mode)
    return open_noted(path, flags, mode, next);
}

int open64(const char *path, int flags, ...) {
    NEXT(int, "open64", const char *, int, ...);
    MODE_OF(flags, mode)
    return open_noted(path, flags, mode, next);
}

static FILE *fopen_noted(const char *path, const char *how, FILE *(*open)(const char *, const char *)) {
    struct stat before;
    char room[PATH_ROOM];
    int ours = how && how[0] != 'r' && below(path, room);
    int existed = ours && stat(path, &before) == 0;
    FILE *file = open(path, how);
    if (file && ours && !existed) note_new(fileno(file));
    if (file && existed && how[0] == 'w') note_length(before.st_ino, 0, 1);
    return file;
}

FILE *fopen(const char *path, const char *how) {
    NEXT(FILE *, "fopen", const char *, const char *);
    return fopen_noted(path, how, next);
}

FILE *fopen64(const char *path, const char *how) {
    NEXT(FILE *, "fopen64", const char *, const char *);
    return fopen_noted(path, how, next);
}

static int cut_fd(int fd, off_t length, int (*cut)(int, off_t)) {
    struct stat now;
    int result = cut(fd, length);
    if (result == 0 && control && fstat(fd, &now) == 0) note_length(now.st_ino, length, 1);
    return result;
}

int ftruncate(int fd, off_t length) {
    NEXT(int, "ftruncate", int, off_t);
    return cut_fd(fd, length, next);
}

int ftruncate64(int fd, off64_t length) {
    NEXT(int, "ftruncate64", int, off_t);
    return cut_fd(fd, length, next);
}

static int cut_path(const char *path, off_t length, int (*cut)(const char *, off_t)) {
    struct stat now;
    char room[PATH_ROOM];
    int result = cut(path, length);
    if (result == 0 && below(path, room) && stat(path, &now) == 0) note_length(now.st_ino, length, 1);
    return result;
}

int truncate(const char *path, off_t length) {
    NEXT(int, "truncate", const char *, off_t);
    return cut_path(path, length, next);
}

int truncate64(const char *path, off64_t length) {
    NEXT(int, "truncate64", const char *, off_t);
    return cut_path(path, length, next);
}

int rename(const char *from, const char *to) {
    NEXT(int, "rename", const char *, const char *);
    bury(to);
    return next(from, to);
}

int unlink(const char *path) {
    NEXT(int, "unlink", const char *);
    bury(path);
    return next(path);
}
