// Preloaded into a process: counts its calls on files below one folder and at the n-th of them stops or fails it.
//
// The C library's own calls are replaced, so Python, Rust (safetensors) and C++ (torch) are met alike. A read of a
// mapped page can fail too: such a mapping is made of a file without content, and touching it raises SIGBUS, as it does
// where a disk fails under a real one.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

namespace {

enum Kind { READS = 0, WRITES = 1, ALL = 2 };
enum Action { COUNT = 0, STOP = 1, FAIL_ONCE = 2, FAIL_ON = 3 };

char folder[4096], told[4096];
std::atomic<int> action{COUNT};
int kind = ALL, error = EIO;
long at = 0;
std::atomic<long> counts[3];

template <typename Call> Call real(const char *name) { return reinterpret_cast<Call>(dlsym(RTLD_NEXT, name)); }

bool below(const char *path) { return folder[0] && path && strncmp(path, folder, strlen(folder)) == 0; }

bool path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long length = readlink(link, path, 4095);
    if (length < 0) return false;
    path[length] = 0;
    return below(path);
}

// Writes down what was hit, past the replaced calls.
void tell(const char *call, const char *path) {
    long file = syscall(SYS_openat, AT_FDCWD, told, O_CREAT | O_WRONLY | O_APPEND, 0600);
    if (file < 0) return;
    char line[4300];
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    syscall(SYS_write, file, line, (size_t)length);
    syscall(SYS_close, file);
}

struct Turn {
    bool stop, fail;
};

Turn turn(Kind of, const char *call, const char *path) {
    long mine = ++counts[of], all = ++counts[ALL];
    long number = kind == ALL ? all : mine;
    if (action == COUNT || (kind != ALL && kind != of)) return {false, false};
    bool now = number == at || (action == FAIL_ON && number > at);
    if (!now) return {false, false};
    tell(call, path);
    return {action == STOP, action != STOP};
}

bool fails(Kind of, const char *call, const char *path) {
    Turn found = turn(of, call, path);
    if (found.stop) kill(getpid(), SIGSTOP);
    if (found.fail) errno = error;
    return found.fail;
}

bool fails_at(Kind of, const char *call, int descriptor) {
    int before = errno;
    char path[4096];
    bool found = folder[0] && path_of(descriptor, path) && fails(of, call, path);
    if (!found) errno = before;
    return found;
}

Kind opened_for(int flags) { return flags & (O_CREAT | O_TRUNC) ? WRITES : READS; }

// A write that is stopped is stopped half done.
template <typename Write> ssize_t torn(const char *call, int descriptor, size_t count, Write write) {
    char path[4096];
    int before = errno;
    if (!folder[0] || !path_of(descriptor, path)) {
        errno = before;
        return write(0, count);
    }
    errno = before;
    Turn found = turn(WRITES, call, path);
    if (found.fail) {
        errno = error;
        return -1;
    }
    if (!found.stop) return write(0, count);
    ssize_t half = count > 1 ? write(0, count / 2) : 0;
    kill(getpid(), SIGSTOP);
    if (half < 0) return half;
    ssize_t rest = write(half, count - half);
    return rest < 0 ? (half > 0 ? half : rest) : half + rest;
}

}  // namespace

extern "C" {

void faults_arm(const char *below_folder, const char *told_file, int kind_, long at_, int action_, int error_) {
    strncpy(folder, below_folder, sizeof folder - 1);
    strncpy(told, told_file, sizeof told - 1);
    kind = kind_, at = at_, error = error_;
    for (auto &count : counts) count = 0;
    action = action_;
}

long faults_count(int of) { return counts[of]; }

// Root is bound by permissions like everybody else from here on.
int faults_obey_permissions() {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data)) return -1;
    uint32_t without = ~((1u << CAP_DAC_OVERRIDE) | (1u << CAP_DAC_READ_SEARCH) | (1u << CAP_FOWNER));
    data[0].effective &= without, data[0].permitted &= without;
    return (int)syscall(SYS_capset, &header, data);
}

#define OPEN(NAME)                                                                                   \
    int NAME(const char *path, int flags, ...) {                                                     \
        va_list rest;                                                                                \
        va_start(rest, flags);                                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                      \
        va_end(rest);                                                                                \
        if (!(flags & O_DIRECTORY) && below(path) && fails(opened_for(flags), "open", path)) return -1; \
        return real<int (*)(const char *, int, ...)>(#NAME)(path, flags, mode);                      \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                                                  \
    int NAME(int at_folder, const char *path, int flags, ...) {                                       \
        va_list rest;                                                                                 \
        va_start(rest, flags);                                                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                       \
        va_end(rest);                                                                                 \
        if (!(flags & O_DIRECTORY) && below(path) && fails(opened_for(flags), "open", path)) return -1; \
        return real<int (*)(int, const char *, int, ...)>(#NAME)(at_folder, path, flags, mode);       \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(NAME)                                                                             \
    FILE *NAME(const char *path, const char *mode) {                                            \
        Kind of = strchr(mode, 'w') || strchr(mode, 'a') ? WRITES : READS;                      \
        if (below(path) && fails(of, "open", path)) return nullptr;                             \
        return real<FILE *(*)(const char *, const char *)>(#NAME)(path, mode);                  \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t read(int file, void *data, size_t count) {
    if (fails_at(READS, "read", file)) return -1;
    return real<ssize_t (*)(int, void *, size_t)>("read")(file, data, count);
}

size_t fread(void *data, size_t size, size_t count, FILE *file) {
    if (fails_at(READS, "read", fileno(file))) return 0;
    return real<size_t (*)(void *, size_t, size_t, FILE *)>("fread")(data, size, count, file);
}

#define PREAD(NAME)                                                                              \
    ssize_t NAME(int file, void *data, size_t count, off_t place) {                              \
        if (fails_at(READS, "read", file)) return -1;                                            \
        return real<ssize_t (*)(int, void *, size_t, off_t)>(#NAME)(file, data, count, place);   \
    }
PREAD(pread)
PREAD(pread64)

#define PREADV(NAME)                                                                                    \
    ssize_t NAME(int file, const struct iovec *parts, int count, off_t place) {                         \
        if (fails_at(READS, "read", file)) return -1;                                                   \
        return real<ssize_t (*)(int, const struct iovec *, int, off_t)>(#NAME)(file, parts, count, place); \
    }
PREADV(preadv)
PREADV(preadv64)

#define MMAP(NAME)                                                                                     \
    void *NAME(void *address, size_t length, int protection, int flags, int file, off_t place) {       \
        auto call = real<void *(*)(void *, size_t, int, int, int, off_t)>(#NAME);                      \
        if (file >= 0 && !(flags & MAP_ANONYMOUS) && fails_at(READS, "map", file)) {                   \
            int empty = memfd_create("failing", MFD_CLOEXEC);                                          \
            void *mapped = call(address, length, PROT_READ, MAP_PRIVATE, empty, 0);                    \
            close(empty);                                                                              \
            return mapped;                                                                             \
        }                                                                                              \
        return call(address, length, protection, flags, file, place);                                  \
    }
MMAP(mmap)
MMAP(mmap64)

ssize_t write(int file, const void *data, size_t count) {
    auto call = real<ssize_t (*)(int, const void *, size_t)>("write");
    return torn("write", file, count, [&](size_t from, size_t many) { return call(file, (const char *)data + from, many); });
}

#define PWRITE(NAME)                                                                        \
    ssize_t NAME(int file, const void *data, size_t count, off_t place) {                   \
        auto call = real<ssize_t (*)(int, const void *, size_t, off_t)>(#NAME);             \
        return torn("write", file, count, [&](size_t from, size_t many) {                   \
            return call(file, (const char *)data + from, many, place + (off_t)from);        \
        });                                                                                 \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

int fsync(int file) {
    if (fails_at(WRITES, "fsync", file)) return -1;
    return real<int (*)(int)>("fsync")(file);
}

int fdatasync(int file) {
    if (fails_at(WRITES, "fsync", file)) return -1;
    return real<int (*)(int)>("fdatasync")(file);
}

#define TRUNCATE(NAME)                                               \
    int NAME(int file, off_t length) {                               \
        if (fails_at(WRITES, "truncate", file)) return -1;           \
        return real<int (*)(int, off_t)>(#NAME)(file, length);       \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int rename(const char *from, const char *to) {
    if (below(to) && fails(WRITES, "rename", to)) return -1;
    return real<int (*)(const char *, const char *)>("rename")(from, to);
}

int mkdir(const char *path, mode_t mode) {
    if (below(path) && fails(WRITES, "mkdir", path)) return -1;
    return real<int (*)(const char *, mode_t)>("mkdir")(path, mode);
}

// Taking a name away needs no disk: it is stopped, but not failed.
int unlink(const char *path) {
    if (below(path) && (action == COUNT || action == STOP)) fails(WRITES, "unlink", path);
    return real<int (*)(const char *)>("unlink")(path);
}

}  // extern "C"
