// Addresses of pages: everything behind the #, so that the server has one page to serve.

export type Route =
  | { page: 'fleet' }
  | { page: 'robot'; name: string }
  | { page: 'models'; name: string | null }
  | { page: 'deployments'; id: string | null }
  | { page: 'missing'; path: string };

export function parseRoute(hash: string): Route {
  const path = hash.replace(/^#\/?/, '').split('?')[0] ?? '';
  const [page = '', ...rest] = path.split('/').map(decode);
  const name = rest.join('/') || null;
  switch (page) {
    case '':
    case 'fleet':
      return { page: 'fleet' };
    case 'robots':
      return name ? { page: 'robot', name } : { page: 'fleet' };
    case 'models':
      return { page: 'models', name };
    case 'deployments':
      return { page: 'deployments', id: name };
    default:
      return { page: 'missing', path };
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const links = {
  fleet: () => '#/fleet',
  robot: (name: string) => `#/robots/${encodeURIComponent(name)}`,
  models: (name?: string) => (name ? `#/models/${encodeURIComponent(name)}` : '#/models'),
  deployments: (id?: string) => (id ? `#/deployments/${encodeURIComponent(id)}` : '#/deployments'),
};

/** The token of a sign-in link `/#token=…`; null when the address carries none. */
export function tokenFromHash(hash: string): string | null {
  const match = /^#\/?token=([^&]+)/.exec(hash);
  return match?.[1] ? decode(match[1]) : null;
}
