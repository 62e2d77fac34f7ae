/* What sysfs tells of network cards, and what follows for who wants to capture from one. */
#include "capture/card.h"

#include "capture/dpdk.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUS           "/sys/bus/pci/devices"
#define CLASS_NETWORK 0x02 /* the first byte of a PCI device's class */

/* The first line of a file below a card's folder; empty when there is none. */
static void read_line(char *to, size_t room, const char *address, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, BUS "/%s/%s", address, name);
    FILE *file = fopen(path, "re");
    to[0] = '\0';
    if (file && fgets(to, (int)room, file))
        to[strcspn(to, "\n")] = '\0';
    if (file)
        fclose(file);
}

/* What a link below a card's folder leads to, its last part; empty when there is none. */
static void read_end(char *to, size_t room, const char *address, const char *name)
{
    char path[512], link[512];
    snprintf(path, sizeof path, BUS "/%s/%s", address, name);
    ssize_t n = readlink(path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(link, '/');
    snprintf(to, room, "%.*s", (int)room - 1, slash ? slash + 1 : link);
}

/* vfio-pci keeps a card to the process's own addresses only where there is an IOMMU; the others
 * never do. Cards of Mellanox stay with the kernel's driver, which looks after that. */
static void judge_driver(struct mr_card *card)
{
    char group[32];
    bool vfio = !strcmp(card->driver, "vfio-pci");
    bool uio = !strcmp(card->driver, "uio_pci_generic") || !strcmp(card->driver, "igb_uio");
    read_line(group, sizeof group, card->address, "iommu_group/name");
    card->ours = vfio || uio || !strncmp(card->driver, "mlx", 3);
    card->pages = uio || (vfio && !strcmp(group, "vfio-noiommu"));
}

void mr_card_look(const char *name, struct mr_card *card)
{
    char path[128];
    *card = (struct mr_card){0};
    snprintf(card->address, sizeof card->address, "%s%s", strlen(name) < 12 ? "0000:" : "", name);
    for (char *c = card->address; *c; c++) /* as the kernel writes it */
        *c = (char)(*c >= 'A' && *c <= 'F' ? *c - 'A' + 'a' : *c);
    snprintf(path, sizeof path, BUS "/%s", card->address);
    card->is_there = access(path, F_OK) == 0;
    if (!card->is_there)
        return;
    read_end(card->driver, sizeof card->driver, card->address, "driver");
    judge_driver(card);
}

static int is_network(const struct dirent *entry)
{
    char class[32];
    if (strlen(entry->d_name) >= MR_CARD_ADDRESS || entry->d_name[0] == '.')
        return 0;
    read_line(class, sizeof class, entry->d_name, "class");
    return strtoul(class, NULL, 16) >> 16 == CLASS_NETWORK;
}

uint32_t mr_card_list(void (*each)(void *user, const struct mr_card *card), void *user)
{
    struct dirent **names = NULL;
    int n = scandir(BUS, &names, is_network, alphasort);

    for (int i = 0; i < n; i++) {
        struct mr_card card;
        mr_card_look(names[i]->d_name, &card);
        each(user, &card);
        free(names[i]);
    }
    free(names);
    return n > 0 ? (uint32_t)n : 0;
}

struct text {
    char bytes[400];
};

static void append(void *user, const struct mr_card *card)
{
    struct text *text = user;
    size_t len = strlen(text->bytes);
    snprintf(text->bytes + len, sizeof text->bytes - len, "%s%s", len ? ", " : "", card->address);
}

enum mr_status mr_card_check(const char *name, bool no_huge, struct mr_error *error)
{
    struct mr_card card;
    struct text list = {0};

    mr_card_look(name, &card);
    if (!card.is_there) {
        mr_card_list(append, &list);
        return mr_fail(error, MR_ERR_INPUT, "-i %s: there is no such network card; there are: %s",
                       name, list.bytes[0] ? list.bytes : "none");
    }
    if (!card.ours)
        return mr_fail(error, MR_ERR_START,
                       "-i %s: %s%s; hand it to DPDK with: dpdk-devbind.py --bind=vfio-pci %s, or "
                       "capture from the kernel's interface for it",
                       name, card.driver[0] ? "the kernel has this card, by " : "no driver has it",
                       card.driver, card.address);
    if (card.pages && (no_huge || !mr_dpdk_hugepages_free()))
        return mr_fail(error, MR_ERR_START,
                       "-i %s: by %s, without an IOMMU, it reaches hugepages only%s", name,
                       card.driver,
                       no_huge ? ", and --no-huge forbids them"
                               : ", and none is free; reserve some: echo 512 > "
                                 "/proc/sys/vm/nr_hugepages");
    return MR_OK;
}
