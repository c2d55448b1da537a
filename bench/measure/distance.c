/* distance PORT SERVER_PORT MICROSECONDS
 * A network between the clients at 127.0.0.1:PORT and the server at 127.0.0.1:SERVER_PORT: what one side sends reaches
 * the other that much later. Each way of a connection has a thread that reads and one that sends. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000L

static long delay;

struct way {
    int from, to, queue[2];
};

/* Bytes under way, and when they arrive. The queue of a way has their addresses. */
struct packet {
    struct timespec due;
    ssize_t size;
    char data[16384];
};

static void *take(void *argument) {
    struct way *way = argument;
    struct packet *packet;
    while ((packet = malloc(sizeof *packet)) && (packet->size = read(way->from, packet->data, sizeof packet->data)) > 0) {
        clock_gettime(CLOCK_MONOTONIC, &packet->due);
        packet->due.tv_nsec += delay;
        packet->due.tv_sec += packet->due.tv_nsec / SECOND;
        packet->due.tv_nsec %= SECOND;
        if (write(way->queue[1], &packet, sizeof packet) != sizeof packet) exit(5);
    }
    free(packet);
    close(way->queue[1]);
    return NULL;
}

static void *deliver(void *argument) {
    struct way *way = argument;
    struct packet *packet;
    /* Else the kernel may wake the thread 50 µs late. */
    prctl(PR_SET_TIMERSLACK, 1);
    while (read(way->queue[0], &packet, sizeof packet) == sizeof packet) {
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &packet->due, NULL);
        for (ssize_t sent = 0, n = 0; n >= 0 && sent < packet->size; sent += n)
            n = send(way->to, packet->data + sent, packet->size - sent, MSG_NOSIGNAL);
        free(packet);
    }
    shutdown(way->to, SHUT_WR);
    return NULL;
}

/* A way lives as long as this program: the runs have few connections. */
static void start(int from, int to) {
    struct way *way = malloc(sizeof *way);
    *way = (struct way){from, to};
    pthread_t thread;
    if (pipe(way->queue) || pthread_create(&thread, NULL, take, way) || pthread_create(&thread, NULL, deliver, way)) exit(5);
}

static int tcp(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) exit(3);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in server = here;
    server.sin_port = htons(atoi(argv[2]));
    delay = atol(argv[3]) * 1000;
    int listener = tcp();
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 128)) return 3;
    /* A connection inherits TCP_NODELAY from its listener. */
    for (int near; (near = accept(listener, NULL, NULL)) >= 0;) {
        int far = tcp();
        if (connect(far, (struct sockaddr *)&server, sizeof server)) return 4;
        start(near, far);
        start(far, near);
    }
    return 4;
}
