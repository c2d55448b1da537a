/* flood PATH SECONDS: connects to a Unix socket and closes, as fast as it can. Prints how often it connected. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end = now.tv_sec + atoi(argv[2]);
    unsigned long connected = 0, refused = 0;
    puts("flooding");
    fflush(stdout);
    do {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address)) connected++;
        else refused++;
        if (fd >= 0) close(fd);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end);
    printf("connected=%lu refused=%lu\n", connected, refused);
    return 0;
}
