// Certificates for one test, made by openssl: an authority, and a server at 127.0.0.1 whose certificate it has signed.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Makes them in `directory`. Answers the paths `{ca, cert, key}`. */
export function makeCertificates(directory) {
  mkdirSync(directory, { recursive: true });
  // The system's own file would add what belongs to an authority to each of them.
  writeFileSync(join(directory, 'empty.cnf'), '[req]\ndistinguished_name = name\n[name]\n');
  const make = (name, extension, ...signedBy) =>
    execFileSync(
      'openssl',
      ['req', '-x509', '-config', 'empty.cnf', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
        '-subj', `/CN=${name} of a test`, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-addext', extension, ...signedBy],
      { cwd: directory, stdio: 'ignore' },
    );
  make('ca', 'basicConstraints=critical,CA:TRUE');
  make('server', 'subjectAltName=IP:127.0.0.1', '-CA', 'ca.pem', '-CAkey', 'ca.key');
  return { ca: join(directory, 'ca.pem'), cert: join(directory, 'server.pem'), key: join(directory, 'server.key') };
}
