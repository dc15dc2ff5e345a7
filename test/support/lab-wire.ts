// What a pod's packets are on the wire of its node, and whether large ones get through.
import assert from 'node:assert/strict';
import type { ModeName } from '../../src/lab/modes.ts';
import type { TestLab, TestPod } from './lab.ts';
import { eventually } from './lab-router.ts';

export type Header = 'plain' | 'ipip' | 'vxlan' | 'none';

/** What the mode says: IP in IP is for IPv4 only, and CrossSubnet leaves what stays in one subnet as it is. */
export function headerOf(mode: ModeName, family: 4 | 6, sameSubnet: boolean): Header {
  if (mode.endsWith('-crosssubnet') && sameSubnet) return 'plain';
  if (mode.startsWith('vxlan')) return 'vxlan';
  return mode.startsWith('ipip') && family === 4 ? 'ipip' : 'plain';
}

/** Pings each address once and gives the header that the request had on the node's wire, in order. */
export async function headersOnWire(
  lab: TestLab,
  from: TestPod,
  addresses: readonly string[],
): Promise<readonly Header[]> {
  const pings = addresses.map((a) => `ping -n -c 1 -W 2 ${a} >/dev/null || true`).join('; ');
  const filter = 'icmp or icmp6 or ip proto 4 or udp port 4789 or (ip6 and udp port 4789)';
  const captured = await lab.sh(
    from.node,
    `f=$(mktemp); timeout 30 tcpdump -Z root --immediate-mode -U -w $f -ni eth0 '${filter}' 2>$f.log & t=$!
     until grep -q listening $f.log; do sleep 0.05; done
     nsenter --net=${from.netns} -- sh -c '${pings}'
     kill -INT $t; wait $t; tcpdump -nvr $f 2>/dev/null; rm $f $f.log`,
  );
  // Each begins with its time; what lies inside of it follows, at the margin or not.
  const packets = captured.split(/\n(?=\d\d:\d\d:\d\d\.)/);
  return addresses.map((address) => {
    const request = new RegExp(
      ` > ${address.replaceAll('.', '\\.')}: (?:\\[.*?\\] )?ICMP(?:6,)? echo request`,
    );
    const packet = packets.find((text) => request.test(text));
    if (packet === undefined) return 'none';
    if (packet.includes('VXLAN, flags [I] (0x08), vni 4096')) return 'vxlan';
    return packet.includes('proto IPIP (4)') ? 'ipip' : 'plain';
  });
}

/** Packets of 1,400 bytes, and 64 KB by TCP, neither of which a router may cut. */
export async function largePacketsPass(
  lab: TestLab,
  from: TestPod,
  to: TestPod,
  address: string,
): Promise<void> {
  await lab.inPod(from, `ping -n -c 2 -i 0.2 -W 2 -M do -s ${1400 - 28} ${address}`);
  const receive =
    "require('net').createServer((c)=>{let n=0;c.on('data',(d)=>n+=d.length);c.on('end',()=>{console.log(n);process.exit()})}).listen(5001)";
  const send = `const s=require('net').connect(5001,'${address}',()=>s.end(Buffer.alloc(65536,1)))`;
  const server = lab.inPod(to, `exec timeout 30 ${process.execPath} -e "${receive}"`);
  await eventually(
    'the receiver listens',
    () => lab.inPod(to, 'ss -ltn || true'),
    (text) => text.includes(':5001'),
  );
  await lab.inPod(from, `timeout 30 ${process.execPath} -e "${send}"`);
  assert.equal((await server).trim(), '65536', `of 65536 bytes to ${address}`);
}
