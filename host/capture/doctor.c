/* Looks at the machine as live capture will find it. */
#include "capture/doctor.h"

#include "capture/card.h"
#include "capture/dpdk.h"
#include "capture/port.h"

#include <dirent.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WANTED_RINGS ((uint64_t)128 << 20)

enum finding { MISSING, OK, NOTE };

static void line(FILE *to, enum finding finding, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void line(FILE *to, enum finding finding, const char *what, const char *format, ...)
{
    static const char *const words[] = {"missing", "ok", "-"};
    va_list arguments;
    va_start(arguments, format);
    fprintf(to, "%-8s%-13s", words[finding], what);
    vfprintf(to, format, arguments);
    fprintf(to, "\n");
    va_end(arguments);
}

static void mend(FILE *to, const char *command)
{
    fprintf(to, "%21s$ %s\n", "", command);
}

static bool rights(FILE *to)
{
    char path[256] = "millrace", command[400];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    bool may = mr_port_may_capture();
    uint64_t rings = mr_port_ring_limit();

    path[n > 0 ? n : (ssize_t)strlen(path)] = '\0';
    snprintf(command, sizeof command, "sudo setcap cap_net_raw,cap_net_admin,cap_ipc_lock+ep %s",
             path);
    line(to, may ? OK : MISSING, "rights",
         may ? "CAP_NET_RAW and CAP_NET_ADMIN, for interfaces of the kernel"
             : "CAP_NET_RAW and CAP_NET_ADMIN, for interfaces of the kernel; run "
               "as root, or once:");
    if (!may)
        mend(to, command);
    bool enough = rings >= WANTED_RINGS;
    if (rings == UINT64_MAX)
        line(to, OK, "locked", "any amount of memory for rings");
    else
        line(to, enough ? OK : MISSING, "locked", "%.0f MiB of memory for rings%s",
             (double)rings / 1048576, enough ? "" : ": they are small, and bursts may be lost");
    if (!enough && may)
        mend(to, command);
    return may;
}

/* One line for each interface; true when one of them is up. */
static bool interfaces(FILE *to)
{
    bool any = false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *all = if_nameindex();

    for (struct if_nameindex *i = all; i && i->if_name; i++) {
        char command[64];
        struct ifreq request = {0};
        snprintf(request.ifr_name, sizeof request.ifr_name, "%s", i->if_name);
        bool up = !ioctl(fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;
        int mtu = ioctl(fd, SIOCGIFMTU, &request) ? 0 : request.ifr_mtu;
        any = any || up;
        line(to, up ? OK : NOTE, "interface", "%s, MTU %d, is %s", i->if_name, mtu,
             up ? "up" : "down");
        snprintf(command, sizeof command, "sudo ip link set %s up", i->if_name);
        if (!up)
            mend(to, command);
    }
    if (!all || !all->if_name)
        line(to, MISSING, "interface", "none");
    if_freenameindex(all);
    close(fd);
    return any;
}

static void xdp(FILE *to)
{
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    line(to, fd >= 0 ? OK : MISSING, "AF_XDP", "for -i xdp:NAME%s",
         fd >= 0 ? "" : "; it wants CONFIG_XDP_SOCKETS and root: -i NAME works without");
    if (fd >= 0)
        close(fd);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool has_entries(const char *path)
{
    uint32_t n = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        n += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return n > 0;
}

/* What a card wants, once there is one. */
static void card_drivers(FILE *to)
{
    bool vfio = is_there("/sys/bus/pci/drivers/vfio-pci");
    bool iommu = has_entries("/sys/kernel/iommu_groups");
    uint64_t huge = mr_dpdk_hugepages_free();

    line(to, vfio ? OK : MISSING, "vfio-pci", "the driver through which DPDK reaches cards");
    if (!vfio)
        mend(to, "sudo modprobe vfio-pci");
    line(to, iommu ? OK : MISSING, "IOMMU", "keeps cards to their own memory%s",
         iommu ? ""
               : "; switch it on in the firmware and with intel_iommu=on (Intel) on the "
                 "kernel's command line, or do without:");
    if (!iommu)
        mend(to, "echo 1 | sudo tee /sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
    line(to, huge > 0 ? OK : MISSING, "hugepages", "%.0f MiB free, for packets of cards%s",
         (double)huge / 1048576, huge ? "" : " (with an IOMMU it works without)");
    if (!huge)
        mend(to, "echo 512 | sudo tee /proc/sys/vm/nr_hugepages");
}

static void tell_card(void *user, const struct mr_card *card)
{
    FILE *to = user;
    char command[128];
    const char *how = card->driver[0]
                          ? ": the kernel has it (-i with its interface works); to hand it to DPDK:"
                          : "; to hand it to DPDK:";
    line(to, card->ours ? OK : NOTE, "card", "%s, driver %s%s", card->address,
         card->driver[0] ? card->driver : "none", card->ours ? "" : how);
    snprintf(command, sizeof command, "sudo dpdk-devbind.py --bind=vfio-pci %s", card->address);
    if (!card->ours)
        mend(to, command);
}

static void cards(FILE *to)
{
    if (mr_card_list(tell_card, to))
        card_drivers(to);
    else
        line(to, NOTE, "card", "no network card on the PCI bus; interfaces of the kernel do");
}

bool mr_doctor_capture(FILE *to)
{
    bool may = rights(to);
    bool up = interfaces(to);
    xdp(to);
    cards(to);
    return may && up;
}
