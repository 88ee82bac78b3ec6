/* src/core/append.h - private to core: the group operations of a vnode. */
#pragma once

#include "cluster/group.h"

const struct group_ops *append_group_ops(void);
