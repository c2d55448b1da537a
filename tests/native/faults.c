/* LD_PRELOAD: moves the wall clock and the time since the boot, and delays, fails and counts syncs, as a test wants.
 * TOTPD_FAULTS names a file that holds struct control; the test maps the same file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_offset; /* seconds added to CLOCK_REALTIME */
    int64_t sync_delay_us;
    int64_t sync_fail; /* not 0: every sync fails with EIO */
    int64_t syncs;     /* counted here */
    int64_t boot_offset; /* seconds added to CLOCK_BOOTTIME */
};

static volatile struct control none;
static volatile struct control *control = &none;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("TOTPD_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) control = page;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    /* The real function goes through the vDSO, so that a benchmark pays no system call for the time. */
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (real(id, now) != 0) return -1;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) now->tv_sec += control->clock_offset;
    if (id == CLOCK_BOOTTIME) now->tv_sec += control->boot_offset;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

/* Sleeps until the moved clock says so: a test that moves it into the next minute wakes cron. */
unsigned sleep(unsigned seconds) {
    time_t end = time(NULL) + seconds;
    while (time(NULL) < end) {
        if (usleep(10000) != 0) return end - time(NULL);
    }
    return 0;
}

static int sync_with(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    __atomic_fetch_add(&control->syncs, 1, __ATOMIC_SEQ_CST);
    if (control->sync_delay_us > 0) {
        int64_t left = control->sync_delay_us;
        /* In slices, so that a test can end a delay. */
        while (left > 0 && control->sync_delay_us > 0) {
            usleep(left > 10000 ? 10000 : left);
            left -= 10000;
        }
    }
    if (control->sync_fail) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
