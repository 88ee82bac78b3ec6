/* src/base/crc32c.h - CRC-32C (Castagnoli), RFC 3720 appendix B.4.
 * Check value: crc32c(0, "123456789", 9) == 0xe3069283. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` already covers, followed by these bytes. Start with 0. */
uint32_t ior_crc32c(uint32_t crc, const void *data, size_t size_bytes);
/* The portable version, for tests and for machines without SSE 4.2. */
uint32_t ior_crc32c_table(uint32_t crc, const void *data, size_t size_bytes);
