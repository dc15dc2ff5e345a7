// What process 1 of the lab does before the supervisor starts: private mounts, so that nothing the lab writes reaches the
// real file system. $1 is the state directory; the rest is the supervisor's command line.
//
// /run      a tmpfs of the lab's own (named network namespaces live in /run/netns); when the state directory is below
//           /run it is bound back to its place.
// /etc, /opt, /var/lib, /var/log
//           overlays whose upper side is in that tmpfs: mount points for each node's private directories can be made
//           there without touching the disk.
// /etc/hosts is a file of that tmpfs that the supervisor fills (in a user namespace an overlay cannot change root's files).
//
// The shell stays as process 1: it waits for the supervisor and meanwhile reaps whatever loses its parent.
export const initScript = `
set -e
state=$1; shift
stage=/mnt
mount -n -t tmpfs -o mode=755 margay-run $stage
mkdir -p $stage/netns $stage/lock $stage/margay
case $state in /run/*|/var/run/*)
  inner=\${state#/var}; inner=$stage/\${inner#/run/}
  mkdir -p "$inner"
  mount -n --bind "$state" "$inner" ;;
esac
mount -n --move $stage /run
for dir in /etc /opt /var/lib /var/log; do
  layer=/run/margay/layers$dir
  mkdir -p $layer/upper $layer/work
  mount -n -t overlay -o lowerdir=$dir,upperdir=$layer/upper,workdir=$layer/work margay-overlay $dir
done
mkdir -p /var/lib/calico /var/lib/cni /var/lib/margay /var/log/calico /var/log/pods /etc/cni /etc/calico /opt/cni
: > /run/margay/hosts
mount -n --bind /run/margay/hosts /etc/hosts
ip link set lo up
"$@" &
wait $!
`;

/** Makes a machine's private directories; runs in its network, mount and uts namespaces. $1 is the machine's name,
 *  $2 the state directory. Ends as the process that holds the namespaces. */
export const machineScript = `
set -e
name=$1; state=$2
hostname "$name"
stage=/mnt
mount -n -t tmpfs -o mode=755 margay-run $stage
mkdir -p $stage/netns $stage/lock $stage/calico $stage/margay
case $state in /run/*|/var/run/*)
  inner=\${state#/var}; inner=\${inner#/run/}
  mkdir -p "$stage/$inner"
  mount -n --bind "/run/$inner" "$stage/$inner" ;;
esac
mount -n --move $stage /run
for dir in /var/lib/calico /var/lib/cni /var/lib/margay /var/log/calico /var/log/pods /etc/cni /etc/calico /opt/cni; do
  mount -n -t tmpfs -o mode=755 margay-node $dir
done
mkdir -p /etc/cni/net.d /opt/cni/bin
mount -n -t sysfs sysfs /sys
ip link set lo up
echo ready
exec sleep infinity
`;
