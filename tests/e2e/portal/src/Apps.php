<?php
// Promises: the table of local apps and what adding, changing and deleting one says to the relay (protocol §3).
// Leans on: Relay for the calls, Events for ONAPPINSTALL and ONAPPUNINSTALL.
// Never: keeps a row that the relay refused.
declare(strict_types=1);

namespace StandIn;

use InvalidArgumentException;

final class Apps
{
    public function __construct(
        private readonly State $state,
        private readonly Identity $identity,
        private readonly Relay $relay,
        private readonly Events $events,
    ) {
    }

    /** @return list<array<string, mixed>> */
    public function all(): array
    {
        return $this->state->rows('SELECT * FROM apps ORDER BY id');
    }

    /** @return array<string, mixed> */
    public function get(string $clientId): array
    {
        return $this->state->row('SELECT * FROM apps WHERE client_id = ?', $clientId)
            ?? throw new InvalidArgumentException("No app has the client id '$clientId'.");
    }

    /**
     * Adds a local app. While the portal is unregistered the row keeps a dummy client id and nobody is asked.
     *
     * @param array<string, mixed> $fields title, url, scope, install_url
     * @return array<string, mixed> the row, or error and error_description
     */
    public function add(array $fields, Hit $hit): array
    {
        $id = $this->state->insert('apps', [
            'client_id' => 'no_client_id_' . bin2hex(random_bytes(8)),
            'title' => (string) ($fields['title'] ?? ''),
            'url' => (string) ($fields['url'] ?? ''),
            'scope' => (string) ($fields['scope'] ?? ''),
            'install_url' => (string) ($fields['install_url'] ?? ''),
        ]);
        $row = $this->state->row('SELECT * FROM apps WHERE id = ?', $id) ?? [];
        $answer = $this->relay->call('application.add', [
            'TITLE' => $row['title'], 'REDIRECT_URI' => $row['url'], 'SCOPE' => $row['scope'],
        ], $hit);
        if ($this->identity->registered()) {
            $given = $answer->result();
            if ($answer->error() !== '' || !is_array($given) || ($given['client_id'] ?? '') === '') {
                $this->state->run('DELETE FROM apps WHERE id = ?', $id);

                return [
                    'error' => $answer->error() !== '' ? $answer->error() : 'CONNECTION_ERROR',
                    'error_description' => $answer->error() !== '' ? $answer->description() : $answer->failure,
                ];
            }
            $this->giveKeys($id, (string) $given['client_id'], (string) ($given['client_secret'] ?? ''));
        }
        $row = $this->state->row('SELECT * FROM apps WHERE id = ?', $id) ?? [];
        if ($row['install_url'] !== '') {
            $this->events->bind('ONAPPINSTALL', $row['install_url'], $id, 0);
            $this->install($row['client_id'], $hit);
        }

        return $row;
    }

    /** Announces a finished installation to the app's ONAPPINSTALL handlers. */
    public function install(string $clientId, Hit $hit): void
    {
        $app = $this->get($clientId);
        $this->state->run('UPDATE apps SET installed = 1 WHERE id = ?', $app['id']);
        $this->events->fire('ONAPPINSTALL', [
            'VERSION' => (int) $app['version'], 'ACTIVE' => 'Y', 'INSTALLED' => 'Y',
            'LANGUAGE_ID' => $this->events->language(),
        ], $hit, [], $app['id']);
    }

    /**
     * Changes an app here and tells the relay only the fields that were given.
     *
     * @param array<string, mixed> $fields title, url, scope; a missing one stays as it is
     * @return array<string, mixed> the row, or error and error_description
     */
    public function update(string $clientId, array $fields, Hit $hit): array
    {
        $app = $this->get($clientId);
        $answer = $this->relay->call('application.update', [
            'CLIENT_ID' => $clientId,
            'TITLE' => $fields['title'] ?? null,
            'REDIRECT_URI' => $fields['url'] ?? null,
            'SCOPE' => $fields['scope'] ?? null,
        ], $hit);
        if ($answer->error() !== '' || !$answer->result()) {
            return [
                'error' => $answer->error() !== '' ? $answer->error() : 'CONNECTION_ERROR',
                'error_description' => $answer->error() !== '' ? $answer->description() : $answer->failure,
            ];
        }
        foreach (array_intersect_key($fields, ['title' => 1, 'url' => 1, 'scope' => 1]) as $column => $value) {
            if ($value !== null) {
                $this->state->run("UPDATE apps SET $column = ? WHERE id = ?", (string) $value, $app['id']);
            }
        }

        return $this->get($clientId);
    }

    /** The relay hears of the deletion first; ONAPPUNINSTALL follows and must still arrive. */
    public function delete(string $clientId, bool $clean, Hit $hit): void
    {
        $app = $this->get($clientId);
        $this->relay->call('application.delete', ['CLIENT_ID' => $clientId], $hit);
        $farewell = new Hit($hit->cron, $hit->host, $hit->requestId, 0, $hit->eventSession);
        $data = ['CLEAN' => $clean, 'LANGUAGE_ID' => $this->events->language()];
        $this->events->fire('ONAPPUNINSTALL', $data, $farewell, [], $app['id']);
        $this->state->run('DELETE FROM handlers WHERE app_id = ?', $app['id']);
        $this->state->run('DELETE FROM apps WHERE id = ?', $app['id']);
    }

    /**
     * Writes a row as it is, without a word to the relay: an app known from elsewhere, or a test's own world.
     * What a known app's row already says and `row` does not stays.
     *
     * @param array<string, mixed> $row
     * @return array<string, mixed>
     */
    public function put(array $row): array
    {
        $columns = array_intersect_key($row, array_flip([
            'id', 'client_id', 'client_secret', 'application_token', 'title', 'url', 'install_url', 'scope',
            'status', 'version', 'active', 'installed',
        ]));
        $known = $this->state->row('SELECT * FROM apps WHERE client_id = ?', (string) $columns['client_id']);
        $columns += $known ?? [];
        $columns['shared_key'] = md5($this->identity->memberId() . ($columns['client_secret'] ?? ''));
        $this->state->insert('apps', $columns, 'INSERT OR REPLACE');

        return $this->get((string) $columns['client_id']);
    }

    private function giveKeys(int $id, string $clientId, string $secret): void
    {
        $this->state->run(
            'UPDATE apps SET client_id = ?, client_secret = ?, shared_key = ? WHERE id = ?',
            $clientId,
            $secret,
            md5($this->identity->memberId() . $secret),
            $id,
        );
    }
}
