// Never read: this package is built with GO111MODULE=off. The file keeps it out
// of the module above, whose go.mod it would otherwise fill with containerd 1.6.
module conformance/debian

go 1.19
