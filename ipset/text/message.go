package text

import "weir/ipset"

// message is what ipset prints when the kernel refuses a command.
func message(cmd string, e ipset.Error) string {
	switch e {
	case ipset.ErrNoSet:
		return "The set with the given name does not exist"
	case ipset.ErrSetExists:
		return "Set cannot be created: set with the same name already exists"
	case ipset.ErrExist:
		if cmd == "del" {
			return "Element cannot be deleted from the set: it's not added"
		}
		return "Element cannot be added to the set: it's already added"
	case ipset.ErrType:
		return "Kernel error received: set type not supported"
	case ipset.ErrMaxSets:
		return "Kernel error received: maximal number of sets reached, cannot create more."
	case ipset.ErrBusy:
		return "Set cannot be destroyed: it is in use by a kernel component"
	case ipset.ErrNewExists:
		return "Set cannot be renamed: a set with the new name already exists"
	case ipset.ErrReferenced:
		return "Set cannot be renamed: it is in use by another system"
	case ipset.ErrSecondSet:
		return "Sets cannot be swapped: the second set does not exist"
	case ipset.ErrMismatch:
		return "The sets cannot be swapped: their type does not match"
	case ipset.ErrNetmask:
		return "The value of the netmask parameter is invalid"
	case ipset.ErrMarkmask:
		return "The value of the markmask parameter is invalid"
	case ipset.ErrBitmask:
		return "netmask and bitmask options are mutually exclusive, provide only one"
	case ipset.ErrFamily:
		return "Protocol family not supported by the set type"
	case ipset.ErrCIDR:
		return "The value of the CIDR parameter of the IP address is invalid"
	case ipset.ErrTimeout:
		return "Timeout cannot be used: set was created without timeout support"
	case ipset.ErrCounter:
		return "Packet/byte counters cannot be used: set was created without counter support"
	case ipset.ErrComment:
		return "Comment cannot be used: set was created without comment support"
	case ipset.ErrSkbinfo:
		return "Skbinfo mapping cannot be used: set was created without skbinfo support"
	case ipset.ErrHashFull:
		return "Hash is full, cannot add more elements"
	case ipset.ErrHashElem:
		return "Null-valued element, cannot be stored in a hash type of set"
	case ipset.ErrProto:
		return "Protocol missing, but must be specified"
	case ipset.ErrNoProto:
		return "Invalid protocol specified"
	case ipset.ErrHashRange:
		return "Invalid range, covers the whole address space"
	case ipset.ErrHashRange6:
		return `Range is not supported in the "net" component of the element`
	case ipset.ErrBitmapRange:
		return "Element is out of the range of the set"
	case ipset.ErrBitmapSize:
		return "The range you specified exceeds the size limit of the set type"
	case ipset.ErrListName:
		return "Set to be added/deleted/tested as element does not exist."
	case ipset.ErrListLoop:
		return "Sets with list:set type cannot be added to the set."
	case ipset.ErrListBefore:
		return "No reference set specified."
	case ipset.ErrListNameRef:
		return "The set to which you referred with 'before' or 'after' does not exist."
	case ipset.ErrListFull:
		return "The set is full, more elements cannot be added."
	case ipset.ErrListRef:
		return "The set to which you referred with 'before' or 'after' is not added to the set."
	}
	return "Kernel error received: Invalid argument"
}
