// Who is who in a lab: an authority of its own, made with the lab and gone with it, and an identity for every process.
//
//   kubernetes-admin                      the person: kubectl outside, shells inside      group system:masters
//   lab-control                           scheduler and controllers                       group system:masters
//   system:node:NODE                      the runner of a node, and its streams' server   group system:nodes
//   kube-system/calico-node               agents and speakers, by a token as in Calico's manifest
//
// Everything is below the lab's state directory, which is its owner's alone.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CertificateAuthority, newPrivateKey } from '../lib/certificates.ts';
import { kubeconfig } from '../lib/kubeconfig.ts';
import { serviceAccountToken } from '../lib/web-token.ts';

const masters = 'system:masters';

export class LabKeys {
  readonly directory: string;
  readonly #name: string;
  readonly #authority: CertificateAuthority;
  readonly #tokenKey: string;

  private constructor(directory: string, name: string, authority: CertificateAuthority, tokenKey: string) {
    this.directory = directory;
    this.#name = `margay-${name}`;
    this.#authority = authority;
    this.#tokenKey = tokenKey;
  }

  /** Reads the keys of a lab, or makes them. */
  static open(stateDirectory: string, name: string): LabKeys {
    const directory = join(stateDirectory, 'keys');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const [cert, key, token] = ['ca.crt', 'ca.key', 'sa.key'].map((file) => join(directory, file)) as [
      string,
      string,
      string,
    ];
    if (!existsSync(token)) {
      const made = CertificateAuthority.create('margay-ca', Date.now());
      writeFileSync(key, made.key, { mode: 0o600 });
      writeFileSync(cert, made.cert, { mode: 0o600 });
      writeFileSync(token, newPrivateKey(), { mode: 0o600 });
    }
    const authority = CertificateAuthority.load({
      cert: readFileSync(cert, 'utf8'),
      key: readFileSync(key, 'utf8'),
    });
    return new LabKeys(directory, name, authority, readFileSync(token, 'utf8'));
  }

  /** A kubeconfig of a user with a certificate. */
  userKubeconfig(server: string, user: string, group = masters): string {
    const pair = this.#authority.issue(
      { commonName: user, organizations: [group], purposes: ['client'] },
      Date.now(),
    );
    return kubeconfig({ cluster: this.#name, server, ca: this.#authority.cert, user, ...pair });
  }

  /** Writes the kubeconfigs of the control plane and of Calico's part; gives their paths. */
  writeCluster(server: string): { readonly control: string; readonly calicoNode: string } {
    const token = serviceAccountToken(this.#tokenKey, 'kube-system', 'calico-node');
    return {
      control: this.#write('control', this.userKubeconfig(server, 'lab-control')),
      calicoNode: this.#write(
        'calico-node',
        kubeconfig({ cluster: this.#name, server, ca: this.#authority.cert, user: 'calico-node', token }),
      ),
    };
  }

  /** Writes what a node's runner needs: its kubeconfig, and the same certificate to serve with. */
  writeNode(server: string, node: string, addresses: readonly string[]): string {
    const user = `system:node:${node}`;
    const pair = this.#authority.issue(
      {
        commonName: user,
        organizations: ['system:nodes'],
        hosts: [node, ...addresses],
        purposes: ['client', 'server'],
      },
      Date.now(),
    );
    return this.#write(
      `${node}-runner`,
      kubeconfig({ cluster: this.#name, server, ca: this.#authority.cert, user, ...pair }),
    );
  }

  #write(name: string, text: string): string {
    const path = join(this.directory, `${name}.kubeconfig`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }
}
