/* A PAM application: pamhost [-c CONFDIR] [-r RHOST] [-R RUSER] [-t TTY] [-e NAME=VALUE] [-A UID] [-U UID] [-w] [-s]
 * [-m MODE] SERVICE USER OP...
 * Answers come from stdin, a line each. MODE: lines (default), null (success without a response), error,
 * again, noarray. Prints messages and prompts, and for each OP its return code: "authenticate=7".
 * -s sets PAM_SILENT, -e the PAM environment; -A begins a new audit session for a login uid; -U makes the process a
 * setuid program that this uid started: the real uid is that one, the effective one root's. The OP "again" ends the
 * PAM handle and begins another: a second login in the same process and audit session; with -w it waits for a line
 * first. */
#define _GNU_SOURCE
#include <security/pam_appl.h>
#include <security/_pam_types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *mode = "lines";

static int converse(int count, const struct pam_message **messages, struct pam_response **out, void *data) {
    (void)data;
    struct pam_response *responses = calloc(count, sizeof *responses);
    for (int i = 0; i < count; i++) {
        int style = messages[i]->msg_style;
        int asks = style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON;
        printf("%s: %s\n", asks ? "prompt" : style == PAM_ERROR_MSG ? "error" : "info", messages[i]->msg);
        fflush(stdout);
        if (!asks) continue;
        if (!strcmp(mode, "error") || !strcmp(mode, "again")) {
            free(responses);
            return !strcmp(mode, "again") ? PAM_CONV_AGAIN : PAM_CONV_ERR;
        }
        if (!strcmp(mode, "noarray")) {
            free(responses);
            *out = NULL;
            return PAM_SUCCESS;
        }
        char *line = NULL;
        size_t size = 0;
        ssize_t length = !strcmp(mode, "null") ? -1 : getline(&line, &size, stdin);
        if (length < 0) {
            free(line);
            line = NULL;
        } else if (length > 0 && line[length - 1] == '\n') {
            line[length - 1] = 0;
        }
        responses[i].resp = line;
    }
    *out = responses;
    return PAM_SUCCESS;
}

int main(int argc, char **argv) {
    const char *confdir = NULL, *rhost = NULL, *ruser = NULL, *tty = NULL, *env[8];
    int envs = 0;
    int flags = 0, waits = 0, option;
    while ((option = getopt(argc, argv, "+c:r:R:t:e:A:U:wsm:")) != -1) {
        switch (option) {
        case 'c': confdir = optarg; break;
        case 'r': rhost = optarg; break;
        case 'R': ruser = optarg; break;
        case 't': tty = optarg; break;
        case 'e': if (envs < 8) env[envs++] = optarg; break;
        case 'A': {
            FILE *login = fopen("/proc/self/loginuid", "w");
            if (!login || fputs(optarg, login) < 0 || fclose(login)) return 4;
            break;
        }
        case 'U': if (setresuid(atoi(optarg), 0, 0)) return 6; break;
        case 'w': waits = 1; break;
        case 's': flags = PAM_SILENT; break;
        case 'm': mode = optarg; break;
        default: return 2;
        }
    }
    if (argc - optind < 3) return 2;
    int op = optind + 2, code;
    do {
        struct pam_conv conv = {converse, NULL};
        pam_handle_t *pamh = NULL;
        code = confdir ? pam_start_confdir(argv[optind], argv[optind + 1], &conv, confdir, &pamh)
                       : pam_start(argv[optind], argv[optind + 1], &conv, &pamh);
        if (code != PAM_SUCCESS) {
            printf("start=%d\n", code);
            return 3;
        }
        if (rhost) pam_set_item(pamh, PAM_RHOST, rhost);
        if (ruser) pam_set_item(pamh, PAM_RUSER, ruser);
        if (tty) pam_set_item(pamh, PAM_TTY, tty);
        for (int i = 0; i < envs; i++) pam_putenv(pamh, env[i]);
        for (; op < argc && strcmp(argv[op], "again"); op++) {
            const char *name = argv[op];
            if (!strcmp(name, "authenticate")) code = pam_authenticate(pamh, flags);
            else if (!strcmp(name, "setcred")) code = pam_setcred(pamh, flags | PAM_ESTABLISH_CRED);
            else if (!strcmp(name, "acct_mgmt")) code = pam_acct_mgmt(pamh, flags);
            else if (!strcmp(name, "open_session")) code = pam_open_session(pamh, flags);
            else if (!strcmp(name, "close_session")) code = pam_close_session(pamh, flags);
            else if (!strcmp(name, "chauthtok")) code = pam_chauthtok(pamh, flags);
            else return 2;
            printf("%s=%d\n", name, code);
            fflush(stdout);
        }
        pam_end(pamh, code);
        if (waits && op < argc) {
            char *line = NULL;
            size_t size = 0;
            if (getline(&line, &size, stdin) < 0) return 5;
            free(line);
        }
    } while (op++ < argc);
    return 0;
}
