/* appendbench FILE COUNT: append 200 bytes and fdatasync, the least that a durable write costs. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600), count = atoi(argv[2]);
    double *latency = calloc(count, sizeof *latency);
    char block[200];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < count; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (write(fd, block, sizeof block) != sizeof block || fdatasync(fd)) return 1;
        clock_gettime(CLOCK_MONOTONIC, &b);
        latency[i] = (b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3;
    }
    qsort(latency, count, sizeof *latency, compare);
    printf("%.0f %.0f\n", latency[count / 2], latency[count * 99 / 100]);
    return 0;
}
