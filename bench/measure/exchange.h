/* A login at the daemon's socket: the two calls that the PAM module makes, as varlink messages. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_SIZE 16384

/* Sends one message, and reads the reply to it up to its NUL. Returns 0, or -1 if there was none. */
static int call(int fd, const char *message, char *reply) {
    if (send(fd, message, strlen(message) + 1, MSG_NOSIGNAL) < 0) return -1;
    size_t have = 0;
    while (!have || reply[have - 1]) {
        ssize_t n = read(fd, reply + have, REPLY_SIZE - have);
        if (n <= 0) return -1;
        have += n;
    }
    return 0;
}

/* Connects, and begins a login. Returns the connection, or -1. */
static int begin_login(const char *path, const char *service, const char *user, const char *rhost, char *reply) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char message[1024];
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    snprintf(message, sizeof message,
             "{\"method\":\"org.totpd.Login.Begin\",\"parameters\":{\"attempt\":{\"user\":\"%s\",\"service\":\"%s\","
             "\"rhost\":\"%s\"},\"remaining_ms\":10000}}", user, service, rhost);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address) && !call(fd, message, reply)) return fd;
    close(fd);
    return -1;
}

/* Answers the question with a code. Returns 0 if there is a reply, and -1 if not. */
static int answer_login(int fd, const char *code, char *reply) {
    char message[256];
    snprintf(message, sizeof message,
             "{\"method\":\"org.totpd.Login.Answer\",\"parameters\":{\"text\":\"%s\",\"remaining_ms\":10000}}", code);
    return call(fd, message, reply);
}
