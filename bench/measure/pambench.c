/* pambench CONFDIR SERVICE[,SERVICE…] CLIENTS LOGINS ROUNDS WARM SCHEDULE CONTROL STEP0 [FLOOR]
 * CLIENTS processes, spread over the services, log in through libpam at once, LOGINS times in each of ROUNDS rounds. Before each round the clock
 * moves to the next time step, from STEP0 on. SCHEDULE has a line "user code" for each login: all of round 0 (those of
 * the first client, then of the second, …), then of round 1, and so on. CONTROL is the page of tests/native/faults.c,
 * which both sides preload. The first WARM rounds are not measured.
 * With the folder FLOOR each login overwrites one page of an allocated file of its client, and syncs it by
 * fdatasync(2): the least that a durable login costs.
 * A SERVICE that begins with / is the socket of a daemon: its clients make the module's calls there, without libpam.
 * Prints: p10_us p50_us p90_us p99_us logins_per_second syncs_per_login failures */
#include "exchange.h"
#include <fcntl.h>
#include <pthread.h>
#include <security/pam_appl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define PAGE 4096
#define MAX_SERVICES 16

struct control {
    int64_t clock_offset, sync_delay_us, sync_fail, syncs;
};

struct login {
    char user[16], code[16];
};

static const char *answer;

static int converse(int count, const struct pam_message **messages, struct pam_response **out, void *data) {
    (void)data;
    *out = calloc(count, sizeof **out);
    for (int i = 0; i < count; i++)
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF || messages[i]->msg_style == PAM_PROMPT_ECHO_ON)
            (*out)[i].resp = strdup(answer);
    return PAM_SUCCESS;
}

/* The host's clock, which the preload does not move. */
static double monotonic_us(void) {
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int64_t real_seconds(void) {
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return t.tv_sec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Opens the client's file, whose one page is written and synced, so that a sync changes no metadata. */
static int open_floor(const char *folder, int client) {
    char path[4096], page[PAGE] = {0};
    snprintf(path, sizeof path, "%s/%d", folder, client);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    return fd < 0 || pwrite(fd, page, PAGE, 0) != PAGE || fsync(fd) ? -1 : fd;
}

static int log_in_at(const char *path, const struct login *login) {
    char reply[REPLY_SIZE];
    int fd = begin_login(path, "bench", login->user, "", reply);
    if (fd < 0) return 0;
    int granted = !answer_login(fd, login->code, reply) && strstr(reply, "\"granted\"");
    close(fd);
    return granted;
}

static int log_in(const char *service, const char *confdir, const struct login *login, int floor) {
    struct pam_conv conv = {converse, NULL};
    static char page[PAGE];
    answer = login->code;
    pam_handle_t *pamh = NULL;
    int code = pam_start_confdir(service, login->user, &conv, confdir, &pamh);
    if (code == PAM_SUCCESS) code = pam_authenticate(pamh, 0);
    if (code == PAM_SUCCESS && floor >= 0) {
        page[0]++;
        if (pwrite(floor, page, PAGE, 0) != PAGE || fdatasync(floor)) code = PAM_SYSTEM_ERR;
    }
    pam_end(pamh, code);
    return code == PAM_SUCCESS;
}

/* Splits a list at its commas, and returns how many names there are. */
static int split(char *list, const char **names) {
    int count = 0;
    for (char *name = strtok(list, ","); name && count < MAX_SERVICES; name = strtok(NULL, ",")) names[count++] = name;
    return count;
}

int main(int argc, char **argv) {
    if (argc != 10 && argc != 11) return 2;
    const char *services[MAX_SERVICES];
    int service_count = split(argv[2], services);
    if (!service_count) return 2;
    const char *confdir = argv[1], *folder = argc == 11 ? argv[10] : NULL;
    int clients = atoi(argv[3]), logins = atoi(argv[4]), rounds = atoi(argv[5]), warm = atoi(argv[6]);
    long step0 = atol(argv[9]);
    int in_round = clients * logins, all = in_round * rounds;
    struct login *schedule = calloc(all, sizeof *schedule);
    FILE *file = fopen(argv[7], "r");
    for (int i = 0; i < all; i++)
        if (!file || fscanf(file, "%15s %15s", schedule[i].user, schedule[i].code) != 2) return 3;
    int fd = open(argv[8], O_RDWR);
    struct control *control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    size_t size = sizeof(pthread_barrier_t) + sizeof(double) * all + sizeof(int) * clients;
    char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (control == MAP_FAILED || shared == MAP_FAILED) return 3;
    pthread_barrier_t *barrier = (pthread_barrier_t *)shared;
    double *latency = (double *)(shared + sizeof *barrier);
    int *failures = (int *)(latency + all);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(barrier, &attributes, clients + 1);
    for (int c = 0; c < clients; c++) {
        int floor = folder ? open_floor(folder, c) : -1;
        if (folder && floor < 0) return 4;
        if (fork()) continue;
        for (int r = 0; r < rounds; r++) {
            pthread_barrier_wait(barrier);
            for (int i = 0; i < logins; i++) {
                int n = r * in_round + c * logins + i;
                double start = monotonic_us();
                const char *service = services[c % service_count];
                int granted = *service == '/' ? log_in_at(service, &schedule[n]) : log_in(service, confdir, &schedule[n], floor);
                latency[n] = monotonic_us() - start;
                failures[c] += !granted;
            }
            pthread_barrier_wait(barrier);
        }
        _exit(0);
    }
    double busy = 0;
    int64_t syncs = 0;
    for (int r = 0; r < rounds; r++) {
        control->clock_offset = (step0 + r) * 30 + 10 - real_seconds();
        int64_t before = control->syncs;
        double start = monotonic_us();
        pthread_barrier_wait(barrier);
        pthread_barrier_wait(barrier);
        if (r >= warm) {
            busy += monotonic_us() - start;
            syncs += control->syncs - before;
        }
    }
    while (wait(NULL) > 0) {}
    int failed = 0, n = all - in_round * warm;
    for (int c = 0; c < clients; c++) failed += failures[c];
    double *measured = latency + in_round * warm;
    qsort(measured, n, sizeof *measured, compare);
    printf("%.1f %.1f %.1f %.1f %.1f %.4f %d\n", measured[n / 10], measured[n / 2], measured[(long)n * 9 / 10],
           measured[(long)n * 99 / 100], n / (busy / 1e6), (double)syncs / n, failed);
    return 0;
}
