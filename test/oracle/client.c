/* A client of both drivers, written from the numbers of their user interfaces: mlx5ctl V4 (posted February 2024) and fwctl
 * (Linux 6.15). It knows nothing of this project. usage: client mlx5ctl|fwctl NODE [bench N]. Prints one line a check. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct mlx5ctl_info { uint16_t uid, reserved; uint32_t cap, dev_cap, ucap; };
struct mlx5ctl_cmd { uint64_t in, out; uint32_t inlen, outlen; };
struct mlx5ctl_reg { uint64_t addr, len; uint32_t id, reserved; };
struct mlx5ctl_unreg { uint32_t id, reserved; };
struct fwctl_info { uint32_t size, flags, type, data_len; uint64_t data; };
struct fwctl_rpc { uint32_t size, scope, in_len, out_len; uint64_t in, out; };

static int fd;
static uint8_t in[4096], out[8192];

static void say(const char *what, int result)
{
	printf("%s %s\n", what, result == 0 ? "0" : result > 0 ? "positive" : strerrorname_np(errno));
}

static int cmd(uint16_t opcode, uint16_t op_mod, uint32_t inlen, uint32_t outlen)
{
	struct mlx5ctl_cmd c = { (uintptr_t)in, (uintptr_t)out, inlen, outlen };

	memset(out, 0xee, sizeof(out));
	in[0] = opcode >> 8, in[1] = opcode, in[2] = in[3] = 0xff, in[6] = op_mod >> 8, in[7] = op_mod;
	return ioctl(fd, 0xc0185c01, &c);
}

static int rpc(uint16_t opcode, uint16_t op_mod, uint32_t scope, uint32_t inlen, uint32_t outlen)
{
	struct fwctl_rpc r = { sizeof(r), scope, inlen, outlen, (uintptr_t)in, (uintptr_t)out };

	memset(out, 0xee, sizeof(out));
	in[0] = opcode >> 8, in[1] = opcode, in[6] = op_mod >> 8, in[7] = op_mod;
	return ioctl(fd, 0x9a01, &r);
}

static void show(const char *what, unsigned length)
{
	printf("%s ", what);
	for (unsigned i = 0; i < length; i++)
		printf("%02x", out[i]);
	printf("\n");
}

static void mlx5ctl(void)
{
	struct mlx5ctl_info info;
	struct mlx5ctl_reg reg = { 0 };
	struct mlx5ctl_unreg unreg = { 0 };
	uint8_t *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(&info, 0xff, sizeof(info));
	say("info", ioctl(fd, 0x80105c00, &info));
	printf("info-fields uid>0:%d reserved:%u cap:%x dev:%x ucap:%x\n", info.uid > 0, info.reserved, info.cap, info.dev_cap, info.ucap);
	say("number-of-v3", ioctl(fd, 0x80605c00, out));
	say("number-unknown", ioctl(fd, 0x5c7f, 0));
	say("inlen-15", cmd(0x10a, 0, 15, 112));
	say("outlen-15", cmd(0x10a, 0, 16, 15));
	say("inlen-over", cmd(0x10a, 0, 512 * 512 + 1, 112));
	say("issi", cmd(0x10a, 0, 16, 112));
	show("issi-out", 112);
	say("hca-cap", cmd(0x100, 1, 16, 4112));
	show("hca-cap-status", 8);
	show("hca-cap-head", 64);
	say("bad-opcode", cmd(0xfff, 0, 16, 16));
	show("bad-opcode-status", 1);
	say("alloc-pd", cmd(0x800, 0, 16, 16));
	show("alloc-pd-status", 1);
	reg.addr = (uintptr_t)memory, reg.len = 1 << 20, reg.reserved = 1;
	say("reg-reserved", ioctl(fd, 0xc0185c02, &reg));
	reg.reserved = 0, reg.len = 0;
	say("reg-empty", ioctl(fd, 0xc0185c02, &reg));
	reg.len = ~0ull;
	say("reg-overflow", ioctl(fd, 0xc0185c02, &reg));
	reg.len = 65ull << 20;
	say("reg-65M", ioctl(fd, 0xc0185c02, &reg));
	reg.addr = (uintptr_t)readonly, reg.len = 4096;
	say("reg-unmapped", (munmap(readonly, 4096), ioctl(fd, 0xc0185c02, &reg)));
	reg.addr = (uintptr_t)memory, reg.len = 1 << 20;
	say("reg", ioctl(fd, 0xc0185c02, &reg));
	unreg.id = reg.id, unreg.reserved = 1;
	say("unreg-reserved", ioctl(fd, 0xc0085c03, &unreg));
	unreg.reserved = 0, unreg.id = reg.id + 77;
	say("unreg-unknown", ioctl(fd, 0xc0085c03, &unreg));
	unreg.id = reg.id;
	say("unreg", ioctl(fd, 0xc0085c03, &unreg));
	say("unreg-again", ioctl(fd, 0xc0085c03, &unreg));
}

static void fwctl(void)
{
	uint32_t data[4] = { ~0u, ~0u, ~0u, ~0u };
	struct fwctl_info info = { 24, 0, 0, 8, (uintptr_t)data };
	struct { struct fwctl_rpc r; uint64_t more; } big = { { 40, 0, 16, 112, (uintptr_t)in, (uintptr_t)out }, 0 };

	say("info", ioctl(fd, 0x9a00, &info));
	printf("info-fields type:%u len:%u uid>0:%d caps:%x\n", info.type, info.data_len, data[0] > 0, data[1]);
	info.data_len = 0;
	say("info-no-data", ioctl(fd, 0x9a00, &info));
	printf("info-no-data-len %u\n", info.data_len);
	info.data_len = 16;
	say("info-16", ioctl(fd, 0x9a00, &info));
	printf("info-16-fields len:%u padding:%x%x\n", info.data_len, data[2], data[3]);
	info.flags = 1;
	say("info-flags", ioctl(fd, 0x9a00, &info));
	info.flags = 0, info.size = 16;
	say("info-short", ioctl(fd, 0x9a00, &info));
	say("number-unknown", ioctl(fd, 0x9a02, &info));
	say("null", ioctl(fd, 0x9a01, NULL));
	say("in-15", rpc(0x10a, 0, 1, 15, 112));
	say("out-15", rpc(0x10a, 0, 1, 16, 15));
	say("in-over", rpc(0x10a, 0, 1, (2 << 20) + 1, 112));
	say("scope-4", rpc(0x10a, 0, 4, 16, 112));
	say("issi-0", rpc(0x10a, 0, 0, 16, 112));
	say("issi-1", rpc(0x10a, 0, 1, 16, 112));
	show("issi-out", 112);
	say("hca-cap-0", rpc(0x100, 1, 0, 16, 4112));
	show("hca-cap-head", 64);
	say("alloc-pd-1", rpc(0x800, 0, 1, 16, 16));
	say("alloc-pd-3", rpc(0x800, 0, 3, 16, 16));
	say("reg-write-0", rpc(0x805, 0, 0, 32, 32));
	say("reg-read-0", rpc(0x805, 1, 0, 32, 32));
	say("reg-read-1", rpc(0x805, 1, 1, 32, 32));
	say("set-diag-1", rpc(0x820, 0, 1, 32, 16));
	in[0] = 1, in[1] = 0x0a, in[6] = in[7] = 0, big.r.scope = 1;
	say("size-40-zero", ioctl(fd, 0x9a01, &big));
	big.more = 1;
	say("size-40-set", ioctl(fd, 0x9a01, &big));
	big.r.size = 31;
	say("size-31", ioctl(fd, 0x9a01, &big));
}

int main(int argc, char **argv)
{
	int is_fwctl = argc > 2 && !strcmp(argv[1], "fwctl");

	if (argc < 3 || (fd = open(argv[2], O_RDWR)) < 0) {
		printf("open %s\n", strerrorname_np(errno));
		return 1;
	}
	if (argc > 4) {
		struct timespec a, b;
		int n = atoi(argv[4]);

		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int i = 0; i < n; i++)
			if (is_fwctl ? rpc(0x100, 1, 0, 16, 4112) : cmd(0x100, 1, 16, 4112))
				return 1;
		clock_gettime(CLOCK_MONOTONIC, &b);
		printf("%.3f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / 1e3 / n);
	} else if (is_fwctl) {
		fwctl();
	} else {
		mlx5ctl();
	}
	return 0;
}
