/* attempt CONFDIR SERVICE SOCKET RHOST
 * Reads attempts from stdin, a line each: KIND CAUSE USER CODE. KIND "pam" is one login through libpam (pam_start to
 * pam_end), "socket" is answer to verdict on the daemon's socket. Prints KIND CAUSE and the nanoseconds it took,
 * without the moment in which the person types (the daemon reads the record meanwhile), and "granted" instead of
 * a time if the code was accepted. */
#include "exchange.h"
#include <security/pam_appl.h>
#include <stdlib.h>
#include <time.h>

static const char *code;
static long typing;

static long nanos(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void type(void) {
    long start = nanos();
    usleep(1000);
    typing += nanos() - start;
}

static int converse(int count, const struct pam_message **messages, struct pam_response **out, void *data) {
    (void)data;
    *out = calloc(count, sizeof **out);
    for (int i = 0; i < count; i++)
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF || messages[i]->msg_style == PAM_PROMPT_ECHO_ON) {
            type();
            (*out)[i].resp = strdup(code);
        }
    return PAM_SUCCESS;
}

static int by_pam(const char *confdir, const char *service, const char *user, const char *rhost) {
    struct pam_conv conv = {converse, NULL};
    pam_handle_t *pamh = NULL;
    int result = pam_start_confdir(service, user, &conv, confdir, &pamh);
    if (result == PAM_SUCCESS) {
        pam_set_item(pamh, PAM_RHOST, rhost);
        result = pam_authenticate(pamh, 0);
    }
    pam_end(pamh, result);
    return result == PAM_SUCCESS;
}

static long by_socket(const char *path, const char *service, const char *user, const char *rhost) {
    char reply[REPLY_SIZE];
    int fd = begin_login(path, service, user, rhost, reply);
    if (fd < 0) exit(4);
    type();
    long start = nanos();
    if (answer_login(fd, code, reply)) exit(5);
    long took = nanos() - start;
    close(fd);
    if (strstr(reply, "\"granted\"")) return -1;
    if (!strstr(reply, "\"denied\"")) exit(7);
    return took;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    char kind[16], cause[32], user[64], typed[64];
    while (scanf("%15s %31s %63s %63s", kind, cause, user, typed) == 4) {
        code = typed;
        typing = 0;
        long took;
        if (!strcmp(kind, "pam")) {
            long start = nanos();
            int granted = by_pam(argv[1], argv[2], user, argv[4]);
            took = granted ? -1 : nanos() - start - typing;
        } else {
            took = by_socket(argv[3], argv[2], user, argv[4]);
        }
        if (took < 0) printf("%s %s granted\n", kind, cause);
        else printf("%s %s %ld\n", kind, cause, took);
    }
    return 0;
}
