/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0
 *
 * What Node lacks to talk to a driver: ioctl in a worker thread, with pointers patched into its argument, and page-aligned
 * memory. No policy, and nothing is opened here. Wrong arguments throw.
 *
 * Buffers that an argument points to are copied into memory of the call and back when it returns: whatever happens to a
 * typed array meanwhile (transferred, resized), the kernel never writes through a stale pointer.
 */
#define NAPI_VERSION 8
#include <node_api.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_POINTERS 8
#define MAX_ARGUMENT 4096
#define MAX_BUFFER (64u << 20)
#define MAX_MEMORY 4294967296.0

#define CHECK(call)                                              \
	do {                                                     \
		if ((call) != napi_ok)                           \
			return fail(env, "internal error: " #call); \
	} while (0)

/* Page-aligned memory. Unmapped when its ArrayBuffer is gone and nothing holds a pin; freed when the handle is gone too. */
struct region {
	void *address;
	size_t length;
	napi_ref buffer;
	unsigned int pins;
	bool mapped, buffer_alive, handle_alive, released;
};

/* One ioctl under way. */
struct call {
	napi_async_work work;
	napi_deferred deferred;
	int fd;
	unsigned long request;
	bool by_value;
	uint64_t value;
	uint8_t *argument;
	size_t argument_length;
	size_t count;
	struct {
		uint8_t *bytes;
		size_t length;
	} pointers[MAX_POINTERS];
	napi_ref kept; /* [argument, buffer, buffer, ...] */
	int result, error;
};

static napi_value fail(napi_env env, const char *message)
{
	napi_throw_error(env, NULL, message);
	return NULL;
}

static napi_value refuse(napi_env env, const char *message)
{
	napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", message);
	return NULL;
}

static bool get_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length)
{
	napi_typedarray_type type;
	bool is_array = false;
	void *start = NULL;

	if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array)
		return false;
	if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok)
		return false;
	*data = start;
	return type == napi_uint8_array;
}

/* A whole number of 0 to `most`. */
static bool get_number(napi_env env, napi_value value, double most, double *number)
{
	napi_valuetype type;

	if (napi_typeof(env, value, &type) != napi_ok || type != napi_number ||
	    napi_get_value_double(env, value, number) != napi_ok)
		return false;
	return *number >= 0 && *number <= most && *number == (double)(uint64_t)*number;
}

static void region_settle(struct region *region)
{
	if (region->mapped && !region->buffer_alive && region->pins == 0) {
		munmap(region->address, region->length);
		region->mapped = false;
	}
	if (!region->mapped && !region->handle_alive)
		free(region);
}

static void buffer_collected(napi_env env, void *data, void *hint)
{
	struct region *region = hint;

	region->buffer_alive = false;
	region_settle(region);
}

static void handle_collected(napi_env env, void *data, void *hint)
{
	struct region *region = data;

	region->handle_alive = false;
	if (region->buffer)
		napi_delete_reference(env, region->buffer);
	region->buffer = NULL;
	region_settle(region);
}

static napi_value region_object(napi_env env, struct region *region, napi_value buffer)
{
	napi_value result, handle, address;

	CHECK(napi_create_reference(env, buffer, 0, &region->buffer));
	CHECK(napi_create_external(env, region, handle_collected, NULL, &handle));
	region->handle_alive = true;
	CHECK(napi_create_bigint_uint64(env, (uint64_t)(uintptr_t)region->address, &address));
	CHECK(napi_create_object(env, &result));
	CHECK(napi_set_named_property(env, result, "handle", handle));
	CHECK(napi_set_named_property(env, result, "buffer", buffer));
	CHECK(napi_set_named_property(env, result, "address", address));
	return result;
}

/* allocate(length) -> {handle, buffer, address}: zeroed pages. */
static napi_value memory_allocate(napi_env env, napi_callback_info info)
{
	size_t argc = 1, page = (size_t)sysconf(_SC_PAGESIZE);
	napi_value argv[1], buffer;
	struct region *region;
	double length;

	CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
	if (argc < 1 || !get_number(env, argv[0], MAX_MEMORY, &length) || length < 1)
		return refuse(env, "length must be a whole number of 1 to 2^32");
	region = calloc(1, sizeof(*region));
	if (!region)
		return fail(env, "out of memory");
	region->length = ((size_t)length + page - 1) / page * page;
	region->address = mmap(NULL, region->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region->address == MAP_FAILED) {
		free(region);
		return fail(env, "out of memory");
	}
	region->mapped = true;
	if (napi_create_external_arraybuffer(env, region->address, region->length, buffer_collected, region, &buffer) !=
	    napi_ok) {
		region_settle(region);
		return fail(env, "no ArrayBuffer can be made over mapped memory here");
	}
	region->buffer_alive = true;
	return region_object(env, region, buffer);
}

static struct region *get_region(napi_env env, napi_callback_info info)
{
	size_t argc = 1;
	napi_value argv[1];
	napi_valuetype type = napi_undefined;
	void *data = NULL;

	if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1 ||
	    napi_typeof(env, argv[0], &type) != napi_ok || type != napi_external ||
	    napi_get_value_external(env, argv[0], &data) != napi_ok) {
		refuse(env, "a handle of allocate() is needed");
		return NULL;
	}
	return data;
}

/* pin(handle): a device holds a registration; the pages stay whatever is collected or released. unpin(handle) ends that. */
static napi_value memory_pin(napi_env env, napi_callback_info info)
{
	struct region *region = get_region(env, info);

	if (region && (region->released || !region->buffer_alive))
		return fail(env, "the memory has been released");
	if (region)
		region->pins++;
	return NULL;
}

static napi_value memory_unpin(napi_env env, napi_callback_info info)
{
	struct region *region = get_region(env, info);

	if (region && region->pins == 0)
		return fail(env, "the memory is not pinned");
	if (region) {
		region->pins--;
		region_settle(region);
	}
	return NULL;
}

/* release(handle): the ArrayBuffer gets length 0 and the pages go. Idempotent; throws while pinned. */
static napi_value memory_release(napi_env env, napi_callback_info info)
{
	struct region *region = get_region(env, info);
	napi_value buffer = NULL;

	if (!region)
		return NULL;
	if (region->pins > 0)
		return fail(env, "the memory is pinned: it is registered with a device");
	region->released = true;
	if (region->buffer)
		CHECK(napi_get_reference_value(env, region->buffer, &buffer));
	if (buffer)
		CHECK(napi_detach_arraybuffer(env, buffer));
	return NULL;
}

static void call_free(napi_env env, struct call *call)
{
	for (size_t i = 0; i < call->count; i++)
		free(call->pointers[i].bytes);
	free(call->argument);
	if (call->kept)
		napi_delete_reference(env, call->kept);
	if (call->work)
		napi_delete_async_work(env, call->work);
	free(call);
}

static void call_execute(napi_env env, void *data)
{
	struct call *call = data;

	errno = 0;
	call->result = call->by_value ? ioctl(call->fd, call->request, (unsigned long)call->value) :
					ioctl(call->fd, call->request, call->argument);
	call->error = call->result < 0 ? errno : 0;
}

/* Copies back into an array, unless it was transferred or shrunk meanwhile. */
static void copy_back(napi_env env, napi_value kept, uint32_t index, const uint8_t *bytes, size_t length)
{
	napi_value array;
	uint8_t *data;
	size_t now;

	if (napi_get_element(env, kept, index, &array) == napi_ok && get_bytes(env, array, &data, &now) && data &&
	    now >= length)
		memcpy(data, bytes, length);
}

static void call_complete(napi_env env, napi_status status, void *data)
{
	struct call *call = data;
	napi_value kept, result, value;

	if (status == napi_ok && napi_get_reference_value(env, call->kept, &kept) == napi_ok && kept) {
		if (!call->by_value)
			copy_back(env, kept, 0, call->argument, call->argument_length);
		for (size_t i = 0; i < call->count; i++)
			copy_back(env, kept, (uint32_t)i + 1, call->pointers[i].bytes, call->pointers[i].length);
	}
	napi_create_object(env, &result);
	napi_create_int32(env, call->result, &value);
	napi_set_named_property(env, result, "result", value);
	napi_create_int32(env, call->error, &value);
	napi_set_named_property(env, result, "errno", value);
	napi_resolve_deferred(env, call->deferred, result);
	call_free(env, call);
}

/* One {offset, buffer} of the pointers: copied, and its address patched into the argument. */
static const char *add_pointer(napi_env env, struct call *call, napi_value entry, napi_value kept)
{
	napi_value offset_value, buffer;
	napi_valuetype type;
	double offset;
	uint8_t *data;
	uint64_t address;
	size_t length;

	if (napi_typeof(env, entry, &type) != napi_ok || type != napi_object ||
	    napi_get_named_property(env, entry, "offset", &offset_value) != napi_ok ||
	    napi_get_named_property(env, entry, "buffer", &buffer) != napi_ok)
		return "a pointer must be {offset, buffer}";
	if (!get_number(env, offset_value, MAX_ARGUMENT, &offset) || call->argument_length < 8 ||
	    (size_t)offset > call->argument_length - 8)
		return "the offset of a pointer must lie inside the argument";
	if (!get_bytes(env, buffer, &data, &length) || length == 0 || !data || length > MAX_BUFFER)
		return "the buffer of a pointer must be a Uint8Array of 1 byte to 64 MiB";
	call->pointers[call->count].bytes = malloc(length);
	if (!call->pointers[call->count].bytes)
		return "out of memory";
	memcpy(call->pointers[call->count].bytes, data, length);
	call->pointers[call->count].length = length;
	address = (uint64_t)(uintptr_t)call->pointers[call->count].bytes;
	memcpy(call->argument + (size_t)offset, &address, sizeof(address));
	call->count++;
	return napi_set_element(env, kept, (uint32_t)call->count, buffer) == napi_ok ? NULL : "internal error";
}

static const char *read_argument(napi_env env, struct call *call, napi_value value, napi_value kept)
{
	uint8_t *data;
	size_t length;
	bool lossless;
	napi_valuetype type;

	if (napi_typeof(env, value, &type) == napi_ok && type == napi_bigint) {
		call->by_value = true;
		if (napi_get_value_bigint_uint64(env, value, &call->value, &lossless) != napi_ok || !lossless)
			return "a value must fit into 64 bits";
		return NULL;
	}
	if (!get_bytes(env, value, &data, &length) || length == 0 || !data || length > MAX_ARGUMENT)
		return "argument must be a Uint8Array of 1 to 4096 bytes, or a bigint";
	/* Zeroed to the largest size, so that a driver that takes more than it was given reads nothing of ours. */
	call->argument = calloc(1, MAX_ARGUMENT);
	if (!call->argument)
		return "out of memory";
	memcpy(call->argument, data, length);
	call->argument_length = length;
	return napi_set_element(env, kept, 0, value) == napi_ok ? NULL : "internal error";
}

static const char *read_pointers(napi_env env, struct call *call, napi_value list, napi_value kept)
{
	uint32_t count = 0;
	bool is_array = false;
	const char *wrong = NULL;
	napi_value entry;

	if (napi_is_array(env, list, &is_array) != napi_ok || !is_array ||
	    napi_get_array_length(env, list, &count) != napi_ok || count > MAX_POINTERS)
		return "pointers must be an array of up to 8";
	if (count > 0 && call->by_value)
		return "a value has no pointers";
	for (uint32_t i = 0; i < count && !wrong; i++)
		wrong = napi_get_element(env, list, i, &entry) == napi_ok ? add_pointer(env, call, entry, kept) :
									    "internal error";
	return wrong;
}

/* ioctl(fd, request, argument, pointers) -> Promise of {result, errno} */
static napi_value start_ioctl(napi_env env, napi_callback_info info)
{
	size_t argc = 4;
	napi_value argv[4], kept, name, promise;
	double fd, request;
	const char *wrong;
	struct call *call;

	CHECK(napi_get_cb_info(env, info, &argc, argv, NULL, NULL));
	if (argc < 3)
		return refuse(env, "ioctl(fd, request, argument, pointers) is needed");
	if (!get_number(env, argv[0], INT32_MAX, &fd))
		return refuse(env, "fd must be a file descriptor");
	if (!get_number(env, argv[1], UINT32_MAX, &request))
		return refuse(env, "request must be a 32-bit number");
	CHECK(napi_create_array(env, &kept));
	call = calloc(1, sizeof(*call));
	if (!call)
		return fail(env, "out of memory");
	call->fd = (int)fd;
	call->request = (unsigned long)request;
	wrong = read_argument(env, call, argv[2], kept);
	if (!wrong && argc > 3)
		wrong = read_pointers(env, call, argv[3], kept);
	if (wrong) {
		call_free(env, call);
		return refuse(env, wrong);
	}
	if (napi_create_reference(env, kept, 1, &call->kept) != napi_ok ||
	    napi_create_string_utf8(env, "mlx5ctl.ioctl", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_create_async_work(env, NULL, name, call_execute, call_complete, call, &call->work) != napi_ok ||
	    napi_create_promise(env, &call->deferred, &promise) != napi_ok ||
	    napi_queue_async_work(env, call->work) != napi_ok) {
		call_free(env, call);
		return fail(env, "the ioctl cannot be queued");
	}
	return promise;
}

#define METHOD(name, function) { name, NULL, function, NULL, NULL, NULL, napi_default_jsproperty, NULL }

NAPI_MODULE_INIT()
{
	napi_property_descriptor methods[] = {
		METHOD("ioctl", start_ioctl), METHOD("allocate", memory_allocate), METHOD("pin", memory_pin),
		METHOD("unpin", memory_unpin), METHOD("release", memory_release),
	};

	CHECK(napi_define_properties(env, exports, sizeof(methods) / sizeof(methods[0]), methods));
	return exports;
}
