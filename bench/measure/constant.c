/* constant SOCKET FILE
 * The least that a daemon behind the module can do: it answers every login with the messages of totpd, decides
 * nothing, and keeps nothing but one page of an allocated FILE, which it syncs before the verdict.
 * A single client waits for the sync itself. Of many, another thread syncs once for all who wait, while this one
 * reads and asks. No allocation, no cryptography, no user. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096
#define MAX_EVENTS 256

static const char question[] =
    "{\"parameters\":{\"step\":{\"id\":\"ihxjo2nq\",\"messages\":[],\"prompt\":{\"text\":\"Verification code: \","
    "\"echo\":false,\"accept\":\"code\",\"max_len\":256,\"digits\":6}}}}";
static const char verdict[] =
    "{\"parameters\":{\"step\":{\"id\":\"ihxjo2nq\",\"messages\":[],\"verdict\":\"granted\",\"known\":true}}}";

static int file;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static int waiting[MAX_EVENTS], count;

/* The NUL at the end of a string is the end of a message of Varlink. */
static void sync_and_grant(const int *clients, int number) {
    static char page[PAGE];
    page[0]++;
    if (pwrite(file, page, PAGE, 0) != PAGE || fdatasync(file)) exit(6);
    for (int i = 0; i < number; i++) send(clients[i], verdict, sizeof verdict, MSG_NOSIGNAL);
}

static void *sync_for_all(void *unused) {
    int clients[MAX_EVENTS];
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!count) pthread_cond_wait(&answered, &lock);
        int number = count;
        memcpy(clients, waiting, number * sizeof *clients);
        count = 0;
        pthread_mutex_unlock(&lock);
        sync_and_grant(clients, number);
    }
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(argv[1]) >= sizeof address.sun_path) return 2;
    strcpy(address.sun_path, argv[1]);
    char page[PAGE] = {0}, message[PAGE];
    file = open(argv[2], O_RDWR | O_CREAT, 0600);
    if (file < 0 || pwrite(file, page, PAGE, 0) != PAGE || fsync(file)) return 3;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), poll = epoll_create1(EPOLL_CLOEXEC), open_now = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[MAX_EVENTS];
    unlink(argv[1]);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, MAX_EVENTS)) return 4;
    if (epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event)) return 4;
    pthread_t thread;
    if (pthread_create(&thread, NULL, sync_for_all, NULL)) return 4;
    for (;;) {
        int ready = epoll_wait(poll, events, MAX_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (event.data.fd < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event)) return 5;
                open_now++;
                continue;
            }
            ssize_t length = recv(fd, message, sizeof message - 1, 0);
            if (length <= 0) {
                close(fd);
                open_now--;
                continue;
            }
            message[length] = 0;
            if (strstr(message, "Login.Begin")) {
                send(fd, question, sizeof question, MSG_NOSIGNAL);
            } else if (open_now == 1) {
                sync_and_grant(&fd, 1);
            } else {
                pthread_mutex_lock(&lock);
                if (count == MAX_EVENTS) return 5;
                waiting[count++] = fd;
                pthread_cond_signal(&answered);
                pthread_mutex_unlock(&lock);
            }
        }
    }
}
