package ipset

// Error is why Linux refuses a command (IPSET_ERR_* of
// include/uapi/linux/netfilter/ipset/ip_set.h, and a few error numbers).
type Error uint8

// The errors. OK is none.
const (
	OK Error = iota
	ErrNoSet
	ErrSetExists  // create: the name is taken
	ErrExist      // add: is in the set already; del and test: is not
	ErrType       // no such type
	ErrMaxSets    // no room for another set
	ErrBusy       // destroy: somebody refers to the set
	ErrNewExists  // rename: the new name is taken
	ErrReferenced // rename: somebody refers to the set
	ErrSecondSet  // swap: the second set does not exist
	ErrMismatch   // swap: types differ
	ErrNetmask
	ErrMarkmask
	ErrBitmask // netmask and bitmask
	ErrFamily
	ErrCIDR
	ErrTimeout // given, but the set has none
	ErrCounter
	ErrComment
	ErrSkbinfo
	ErrHashFull
	ErrHashElem // the null element
	ErrProto    // missing
	ErrNoProto  // protocol 0
	ErrHashRange
	ErrHashRange6 // ranges are not supported
	ErrBitmapRange
	ErrBitmapSize
	ErrListName // the set to be added does not exist
	ErrListLoop
	ErrListBefore // before or after without a set
	ErrListNameRef
	ErrListFull
	ErrListRef
	ErrInvalid // EINVAL
	errComplete
	errGrow
	errNomatch // found, and marked nomatch
)
