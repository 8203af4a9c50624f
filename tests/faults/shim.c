/* Stands between a server and its disk: writes down what the process does to the files of one folder, in the order in
 * which it happens, and makes calls fail that it is told to. Loaded with LD_PRELOAD.
 *
 *   FAULTS_FOLDER   the folder, an absolute path without links; nothing else is looked at
 *   FAULTS_LOG      file that events are appended to; none: nothing is written down
 *   FAULTS_RULES    file with the rules of what fails, read again at every call
 *   FAULTS_BOOT_ID  file that is read in place of the machine's boot id
 *
 * Every call is made while a lock is held that the event is written under, so the log is the order of events. A sync is two
 * events, since what is written meanwhile is not covered by it. A call that changes files and is not understood here
 * is written down as such, which fails the test. What goes past libc is found by the test, which compares the folder
 * with what the log says it is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LONGEST 4096
#define RULES 8

enum kind { CREATE = 1, WRITE, LENGTH, RENAME, UNLINK, MKDIR, RMDIR, SYNC_BEGUN, SYNCED, SYNC_FAILED, UNKNOWN };

enum call { ON_WRITE = 1, ON_SYNC = 2, ON_OPEN = 4, ON_RENAME = 8, ON_RANGE = 16, ON_CREATE = 64 };

/* INVARIANT: as `Event` in recording.rs reads it. */
struct head {
    uint32_t length, kind;
    uint64_t time_ns, a, b;
    uint32_t first, second, data, none;
};

/* INVARIANT: as `Rule` in shim.rs writes it. */
struct rule {
    uint32_t calls, error;
    /* So many calls pass before the first fails; the writing of half precedes the failure. */
    uint32_t pass, halves;
    /* Counted here: the calls that matched, and those that failed. */
    uint32_t seen, failed;
    char inside[40];
};

struct rules {
    struct rule rule[RULES];
};

static char folder[LONGEST];
static size_t folder_length;
static int log_file = -1;
static volatile struct rules *rules;
static uint64_t position;
static const char *boot_id;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTS_FOLDER");
    if (name && strlen(name) < LONGEST) {
        strcpy(folder, name);
        folder_length = strlen(folder);
    }
    boot_id = getenv("FAULTS_BOOT_ID");
    if ((name = getenv("FAULTS_LOG")) && folder_length) {
        log_file = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (log_file < 0) abort();
    }
    if ((name = getenv("FAULTS_RULES")) && folder_length) {
        int file = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
        void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof(struct rules), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (page == MAP_FAILED) abort();
        rules = page;
        close(file);
    }
}

/* The path inside the folder, or NULL. */
static const char *inside(const char *path) {
    if (!folder_length || strncmp(path, folder, folder_length)) return NULL;
    if (path[folder_length] == 0) return "";
    return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static const char *of_file(int file, char *buffer) {
    if (!folder_length || file < 0) return NULL;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, LONGEST - 1);
    if (length <= 0 || buffer[0] != '/') return NULL;
    buffer[length] = 0;
    return inside(buffer);
}

static const char *of_path(int at, const char *path, char *buffer) {
    if (!folder_length || !path) return NULL;
    if (path[0] == '/') return inside(path);
    char whole[LONGEST];
    if (at == AT_FDCWD) {
        if (syscall(SYS_getcwd, whole, LONGEST) < 0) return NULL;
    } else {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, LONGEST - 1);
        if (length <= 0) return NULL;
        whole[length] = 0;
    }
    if (snprintf(buffer, LONGEST, "%.2000s/%.2000s", whole, path) >= LONGEST) return NULL;
    return inside(buffer);
}

static void note(uint32_t kind, const char *first, const char *second, uint64_t a, uint64_t b, const void *data, size_t length) {
    if (log_file < 0) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct head head = {
        .kind = kind, .time_ns = now.tv_sec * 1000000000ull + now.tv_nsec, .a = a, .b = b,
        .first = strlen(first), .second = strlen(second), .data = length,
    };
    head.length = sizeof head + head.first + head.second + head.data;
    struct iovec parts[4] = {
        {&head, sizeof head}, {(void *)first, head.first}, {(void *)second, head.second}, {(void *)data, length},
    };
    if (syscall(SYS_writev, log_file, parts, 4) != (long)head.length) abort();
    position += head.length;
}

/* The error that the call is to fail with, or 0; `half` says that half of it is to be done. */
static int fails(uint32_t call, const char *path, int *half) {
    for (int n = 0; rules && n < RULES; n++) {
        volatile struct rule *rule = &rules->rule[n];
        if (!(rule->calls & call)) continue;
        char part[sizeof rule->inside];
        for (size_t i = 0; i < sizeof part; i++) part[i] = rule->inside[i];
        part[sizeof part - 1] = 0;
        if (!strstr(path, part) || rule->seen++ < rule->pass) continue;
        if (rule->failed++ % 2 == 0 && half && rule->halves) {
            *half = 1;
            return 0;
        }
        return rule->error;
    }
    return 0;
}

#define REFUSED(error) ((errno = (error)), pthread_mutex_unlock(&lock), -1)

static int opened(int at, const char *path, int flags, mode_t mode) {
    if (boot_id && path && !strcmp(path, "/proc/sys/kernel/random/boot_id")) path = boot_id;
    char buffer[LONGEST];
    const char *name = of_path(at, path, buffer);
    if (!name) return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int was_there = syscall(SYS_newfstatat, at, path, &before, 0) == 0;
    int error = fails((flags & O_CREAT) && !was_there ? ON_OPEN | ON_CREATE : ON_OPEN, name, NULL);
    if (error) return REFUSED(error);
    if ((flags & O_TMPFILE) == O_TMPFILE) note(UNKNOWN, name, "O_TMPFILE", 0, 0, "", 0);
    int file = syscall(SYS_openat, at, path, flags, mode);
    int kept = errno;
    if (file >= 0 && (flags & O_CREAT) && !was_there) note(CREATE, name, "", 0, 0, "", 0);
    if (file >= 0 && (flags & O_TRUNC) && was_there && before.st_size) note(LENGTH, name, "", 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return file;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* Where: below zero is at the file's own position. */
static ssize_t written(int file, const struct iovec *parts, int count, off64_t where) {
    char buffer[LONGEST];
    const char *name = of_file(file, buffer);
    if (!name) {
        if (where < 0) return count == 1 ? syscall(SYS_write, file, parts->iov_base, parts->iov_len) : syscall(SYS_writev, file, parts, count);
        return count == 1 ? syscall(SYS_pwrite64, file, parts->iov_base, parts->iov_len, where) : syscall(SYS_pwritev, file, parts, count, where, 0);
    }
    size_t total = 0;
    for (int n = 0; n < count; n++) total += parts[n].iov_len;
    char *whole = malloc(total ? total : 1);
    if (!whole) abort();
    size_t at = 0;
    for (int n = 0; n < count; at += parts[n++].iov_len) memcpy(whole + at, parts[n].iov_base, parts[n].iov_len);
    pthread_mutex_lock(&lock);
    int half = 0, error = fails(ON_WRITE, name, &half);
    if (error) { free(whole); return REFUSED(error); }
    if (half && total > 1) total /= 2;
    ssize_t done = where < 0 ? syscall(SYS_write, file, whole, total) : syscall(SYS_pwrite64, file, whole, total, where);
    int kept = errno;
    if (done > 0) {
        uint64_t from = where;
        struct stat now;
        if (syscall(SYS_fcntl, file, F_GETFL) & O_APPEND) from = syscall(SYS_fstat, file, &now) ? 0 : now.st_size - done;
        else if (where < 0) from = syscall(SYS_lseek, file, 0, SEEK_CUR) - done;
        note(WRITE, name, "", from, done, whole, done);
    }
    pthread_mutex_unlock(&lock);
    free(whole);
    errno = kept;
    return done;
}

#define ONE(data, length) struct iovec one = {(void *)(data), (length)}
ssize_t write(int file, const void *data, size_t length) { ONE(data, length); return written(file, &one, 1, -1); }
ssize_t writev(int file, const struct iovec *parts, int count) { return written(file, parts, count, -1); }
ssize_t pwrite(int file, const void *data, size_t length, off_t at) { ONE(data, length); return written(file, &one, 1, at); }
ssize_t pwrite64(int file, const void *data, size_t length, off64_t at) { ONE(data, length); return written(file, &one, 1, at); }
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) { return written(file, parts, count, at); }
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) { return written(file, parts, count, at); }

int ftruncate64(int file, off64_t length) {
    char buffer[LONGEST];
    const char *name = of_file(file, buffer);
    if (!name) return syscall(SYS_ftruncate, file, length);
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_ftruncate, file, length), kept = errno;
    if (!done) note(LENGTH, name, "", length, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

static int synced(int file, long number) {
    char buffer[LONGEST];
    const char *name = of_file(file, buffer);
    if (!name) return syscall(number, file);
    pthread_mutex_lock(&lock);
    uint64_t begun = position;
    int error = fails(ON_SYNC, name, NULL);
    note(SYNC_BEGUN, name, "", begun, 0, "", 0);
    pthread_mutex_unlock(&lock);
    int done = error ? -1 : syscall(number, file), kept = error ? error : errno;
    pthread_mutex_lock(&lock);
    note(done ? SYNC_FAILED : SYNCED, name, "", begun, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

/* Promises nothing, so nothing is written down. */
int sync_file_range(int file, off64_t from, off64_t length, unsigned flags) {
    char buffer[LONGEST];
    const char *name = of_file(file, buffer);
    if (name) {
        pthread_mutex_lock(&lock);
        int error = fails(ON_RANGE, name, NULL);
        if (error) return REFUSED(error);
        pthread_mutex_unlock(&lock);
    }
    return syscall(SYS_sync_file_range, file, from, length, flags);
}

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char one[LONGEST], two[LONGEST];
    const char *old = of_path(from_at, from, one), *new = of_path(to_at, to, two);
    if (!old && !new) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int error = fails(ON_RENAME, new ? new : old, NULL);
    if (error) return REFUSED(error);
    int done = syscall(SYS_renameat2, from_at, from, to_at, to, flags), kept = errno;
    if (!done) note(old && new && !flags ? RENAME : UNKNOWN, old ? old : "", new ? new : "", 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return renamed(from_at, from, to_at, to, 0); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) { return renamed(from_at, from, to_at, to, flags); }

static int unlinked(int at, const char *path, int flags) {
    char buffer[LONGEST];
    const char *name = of_path(at, path, buffer);
    if (!name) return syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_lock(&lock);
    int done = syscall(SYS_unlinkat, at, path, flags), kept = errno;
    if (!done) note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, name, "", 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int unlink(const char *path) { return unlinked(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return unlinked(at, path, flags); }
int rmdir(const char *path) { return unlinked(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    char buffer[LONGEST];
    const char *name = of_path(at, path, buffer);
    if (!name) return syscall(SYS_mkdirat, at, path, mode);
    pthread_mutex_lock(&lock);
    int error = fails(ON_CREATE, name, NULL);
    if (error) return REFUSED(error);
    int done = syscall(SYS_mkdirat, at, path, mode), kept = errno;
    if (!done) note(MKDIR, name, "", 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What nobody calls today; whoever begins to is told by the test. */
static void unknown(int file, const char *call) {
    char buffer[LONGEST];
    const char *name = of_file(file, buffer);
    if (!name) return;
    pthread_mutex_lock(&lock);
    note(UNKNOWN, name, call, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
}
int fallocate64(int file, int mode, off64_t from, off64_t length) { unknown(file, "fallocate"); return syscall(SYS_fallocate, file, mode, from, length); }
int fallocate(int file, int mode, off_t from, off_t length) { return fallocate64(file, mode, from, length); }
int posix_fallocate64(int file, off64_t from, off64_t length) { return fallocate64(file, 0, from, length) ? errno : 0; }
int posix_fallocate(int file, off_t from, off_t length) { return posix_fallocate64(file, from, length); }
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    unknown(to, "copy_file_range");
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t length) { unknown(to, "sendfile"); return syscall(SYS_sendfile, to, from, at, length); }
ssize_t sendfile(int to, int from, off_t *at, size_t length) { return sendfile64(to, from, at, length); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char buffer[LONGEST];
    const char *name = of_path(to_at, to, buffer);
    if (name) { pthread_mutex_lock(&lock); note(UNKNOWN, name, "link", 0, 0, "", 0); pthread_mutex_unlock(&lock); }
    return syscall(SYS_linkat, from_at, from, to_at, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
