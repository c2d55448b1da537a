/* pambench CONFDIR SERVICE CLIENTS USERS ROUNDS CODES CONTROL STEP0
 * CLIENTS processes log in through libpam, each for its own USERS users in turn, ROUNDS times over. Between
 * rounds the clock moves to the next time step. CODES has a line for each user (b0, b1, …): the codes of the
 * rounds, separated by blanks. CONTROL is the page of tests/native/faults.c, which both sides preload.
 * The first round warms up. Prints: p50_us p99_us logins_per_second syncs_per_login failures */
#include <pthread.h>
#include <security/pam_appl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_offset, sync_delay_us, sync_fail, syncs;
};

static char *answer;

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

int main(int argc, char **argv) {
    if (argc != 9) return 2;
    const char *confdir = argv[1], *service = argv[2];
    int clients = atoi(argv[3]), users = atoi(argv[4]), rounds = atoi(argv[5]);
    long step0 = atol(argv[8]);
    int all = clients * users;
    char **codes = calloc(all * rounds, sizeof *codes);
    FILE *file = fopen(argv[6], "r");
    for (int u = 0; file && u < all; u++)
        for (int r = 0; r < rounds; r++)
            if (fscanf(file, "%ms", &codes[u * rounds + r]) != 1) return 3;
    int fd = open(argv[7], O_RDWR);
    struct control *control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    size_t size = sizeof(pthread_barrier_t) + sizeof(double) * all * rounds + sizeof(int) * clients;
    char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrier_t *barrier = (pthread_barrier_t *)shared;
    double *latency = (double *)(shared + sizeof *barrier);
    int *failures = (int *)(latency + all * rounds);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(barrier, &attributes, clients + 1);
    for (int c = 0; c < clients; c++) {
        if (fork()) continue;
        struct pam_conv conv = {converse, NULL};
        for (int r = 0; r < rounds; r++) {
            pthread_barrier_wait(barrier);
            for (int i = 0; i < users; i++) {
                int u = c * users + i;
                char user[16];
                snprintf(user, sizeof user, "b%d", u);
                answer = codes[u * rounds + r];
                double start = monotonic_us();
                pam_handle_t *pamh = NULL;
                int code = pam_start_confdir(service, user, &conv, confdir, &pamh);
                if (code == PAM_SUCCESS) code = pam_authenticate(pamh, 0);
                pam_end(pamh, code);
                latency[r * all + u] = monotonic_us() - start;
                if (code != PAM_SUCCESS && r > 0) failures[c]++;
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
        if (r > 0) {
            busy += monotonic_us() - start;
            syncs += control->syncs - before;
        }
    }
    while (wait(NULL) > 0) {}
    int failed = 0, n = all * (rounds - 1);
    for (int c = 0; c < clients; c++) failed += failures[c];
    qsort(latency + all, n, sizeof *latency, compare);
    printf("%.0f %.0f %.0f %.3f %d\n", latency[all + n / 2], latency[all + n * 99 / 100], n / (busy / 1e6),
           (double)syncs / n, failed);
    return 0;
}
