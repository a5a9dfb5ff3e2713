// The servers that the tests talk to, each with its version, its URL and a token for it.
import { fetchHydra, hydraDataProvider } from "@api-platform/admin";

export class Server {
  constructor({ version, url, token }) {
    this.version = version;
    this.url = url;
    this.entrypoint = `${url}/api`;
    this.headers = { Authorization: `Bearer ${token}` };
  }

  makeDataProvider() {
    const { entrypoint, headers } = this;
    return hydraDataProvider({ entrypoint, httpClient: (url, options = {}) => fetchHydra(url, { ...options, headers }) });
  }

  ask = async (path, options = {}) => {
    const response = await fetch(`${this.url}${path}`, { ...options, headers: { ...this.headers, ...options.headers } });
    return response.status === 204 ? null : response.json();
  };
}

export const servers = JSON.parse(process.env.POORT_SERVERS).map((served) => new Server(served));
