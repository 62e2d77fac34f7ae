/* Sends TCP segments of many flows out of an interface as fast as the kernel takes them, for so
 * many milliseconds, or at a rate; prints how many. Rate 0: none.
 * usage: flood INTERFACE MILLISECONDS [PACKETS_A_SECOND [FLOWS]] */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 4096
#define LEN   200
#define BATCH 64

static uint16_t checksum(const uint8_t *bytes, size_t len, uint32_t sum)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A segment amid a session with a mail server, of a flow of its own. */
static void make(uint8_t *frame, uint32_t number)
{
    uint8_t *ip = frame + 14, *tcp = ip + 20;
    memset(frame, 0, LEN);
    memset(frame, 0xee, 12);
    frame[0] = frame[6] = 2;
    put16(frame + 12, ETHERTYPE_IP);
    ip[0] = 0x45;
    put16(ip + 2, LEN - 14);
    ip[8] = 64;
    ip[9] = 6;
    put16(ip + 12, 10 << 8 | 99);
    put16(ip + 14, number >> 6);
    put16(ip + 16, 10 << 8 | 98);
    put16(ip + 18, 1);
    put16(ip + 10, checksum(ip, 20, 0));
    put16(tcp, 1024 + number % 64);
    put16(tcp + 2, 25);
    put16(tcp + 4, number);
    put16(tcp + 6, 1);
    tcp[12] = 0x50;
    tcp[13] = 0x18;
    put16(tcp + 14, 1000);
    memset(tcp + 20, 'x', LEN - 14 - 40);
    uint32_t pseudo = 6 + LEN - 14 - 20;
    for (int i = 12; i < 20; i += 2)
        pseudo += (uint32_t)ip[i] << 8 | ip[i + 1];
    put16(tcp + 16, checksum(tcp, LEN - 14 - 20, pseudo));
}

/* How many of a batch are due: all of them, where no rate is given. */
static int due(uint64_t sent, uint64_t passed_ms, uint64_t rate)
{
    uint64_t wanted = rate ? passed_ms * rate / 1000 : UINT64_MAX;
    uint64_t n = wanted > sent ? wanted - sent : 0;
    return n < BATCH ? (int)n : BATCH;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 5)
        return 1;
    uint64_t flows = argc == 5 ? strtoull(argv[4], NULL, 10) : FLOWS;
    uint8_t(*frames)[LEN] = calloc(flows, LEN);
    if (!frames)
        return 1;
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to)) {
        perror(argv[1]);
        return 2;
    }
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    for (uint32_t i = 0; i < flows; i++)
        make(frames[i], i);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    uint64_t most = strtoull(argv[2], NULL, 10), passed = 0, sent = 0, at = 0;
    uint64_t rate = argc >= 4 ? strtoull(argv[3], NULL, 10) : 0;
    do {
        for (int i = 0; i < BATCH; i++) {
            pieces[i] = (struct iovec){frames[(at + (uint64_t)i) % flows], LEN};
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        int batch = due(sent, passed, rate), n = 0;
        if (batch)
            n = sendmmsg(fd, messages, (unsigned)batch, 0);
        else
            usleep(500);
        if (n > 0) {
            sent += (uint64_t)n;
            at += (uint64_t)n;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (uint64_t)((now.tv_sec - start.tv_sec) * 1000 +
                            (now.tv_nsec - start.tv_nsec) / 1000000);
    } while (passed < most);
    printf("%llu\n", (unsigned long long)sent);
    free(frames);
    close(fd);
    return 0;
}
