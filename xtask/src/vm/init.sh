#!/bin/sh
# The first process of the virtual machine: makes it a machine, runs the tests, tells how that ended, and turns it off.
# The kernel's console is ttyS0; the results go to ttyS1, what else is said to ttyS2.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666,mode=620 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up

stty -F /dev/ttyS1 raw
stty -F /dev/ttyS2 raw
sh /tests </dev/null >/dev/ttyS1 2>/dev/ttyS2
# The line is empty when it is closed: then all of it has arrived.
echo "vm: the tests ended with $?; the kernel is tainted $(cat /proc/sys/kernel/tainted)" >/dev/ttyS1

echo o >/proc/sysrq-trigger
sleep 60
