<?php
// Promises: `/rest/METHOD` for apps: finds the token and the parameters, runs the method, answers in Bitrix's shape.
// Leans on: TokenGuard, RestMethods.
// Never: sends events itself: they leave after the answer (router.php), as from the stock portal.
declare(strict_types=1);

namespace StandIn;

final class RestServer
{
    private const MAX_BATCH = 50;

    public function __construct(
        private readonly TokenGuard $guard,
        private readonly RestMethods $methods,
    ) {
    }

    /**
     * @param array<array-key, mixed> $params query, form and JSON body together
     * @return array{0: int, 1: array<string, mixed>} HTTP status and JSON document
     */
    public function answer(string $path, array $params, string $bearer, Hit $hit): array
    {
        $started = microtime(true);
        try {
            $method = self::methodName($path);
            $token = (string) ($params['auth'] ?? $params['access_token'] ?? $bearer);
            unset($params['auth'], $params['access_token'], $params['bx24_request_id']);
            if ($token === '') {
                throw new RestError('NO_AUTH_FOUND', 'Wrong authorization data', 401);
            }
            $visitor = $this->guard->admit($token, $this->methods->scopeOf($method), $hit);
            $hit->userId = $visitor->userId;
            $hit->eventSession = $visitor->eventSession - 1;
            $answer = $method === 'batch'
                ? $this->batch($params, $visitor, $hit)
                : $this->methods->run($method, $params, $visitor, $hit);

            return [200, $answer + ['time' => self::time($started)]];
        } catch (RestError $e) {
            return [$e->status, ['error' => $e->error, 'error_description' => $e->getMessage()]];
        }
    }

    /** `/rest//crm.deal.list.json/` and `/rest/crm.deal.list` are one method; case does not matter. */
    private static function methodName(string $path): string
    {
        $name = trim((string) preg_replace('~^/+rest/+~', '', $path), '/');

        return strtolower((string) preg_replace('~\.json$~', '', $name));
    }

    /**
     * @param array<array-key, mixed> $params
     * @return array<string, mixed>
     */
    private function batch(array $params, Visitor $visitor, Hit $hit): array
    {
        $commands = is_array($params['cmd'] ?? null) ? $params['cmd'] : [];
        if (count($commands) > self::MAX_BATCH) {
            throw new RestError('ERROR_BATCH_LENGTH_EXCEEDED', 'Max batch length exceeded', 400);
        }
        $parts = ['result' => [], 'result_error' => [], 'result_total' => [], 'result_next' => [], 'result_time' => []];
        foreach ($commands as $key => $command) {
            $started = microtime(true);
            [$method, $query] = explode('?', (string) $command, 2) + [1 => ''];
            $method = self::methodName($method);
            parse_str(self::substitute($query, $parts['result']), $own);
            try {
                if ($method === 'batch') {
                    throw new RestError('ERROR_BATCH_METHOD_NOT_ALLOWED', 'Method is not allowed for batch usage', 400);
                }
                $visitor->require($this->methods->scopeOf($method));
                $answer = $this->methods->run($method, $own, $visitor, $hit);
                $parts['result'][$key] = $answer['result'];
                $parts['result_time'][$key] = self::time($started);
                foreach (['total', 'next'] as $extra) {
                    if (isset($answer[$extra])) {
                        $parts["result_$extra"][$key] = $answer[$extra];
                    }
                }
            } catch (RestError $e) {
                $parts['result_error'][$key] = ['error' => $e->error, 'error_description' => $e->getMessage()];
                if (!empty($params['halt'])) {
                    break;
                }
            }
        }

        return ['result' => $parts];
    }

    /** `$result[key][FIELD]` in a command stands for what an earlier command gave. */
    private static function substitute(string $query, array $results): string
    {
        return (string) preg_replace_callback(
            '~(?:\$|%24)result((?:(?:\[|%5B)[^\]&=%]+(?:\]|%5D))+)~i',
            static function (array $found) use ($results): string {
                $value = $results;
                foreach (explode('][', trim(urldecode($found[1]), '[]')) as $step) {
                    $value = is_array($value) ? ($value[$step] ?? '') : '';
                }

                return is_scalar($value) ? urlencode((string) $value) : '';
            },
            $query,
        );
    }

    /** @return array<string, mixed> */
    private static function time(float $started): array
    {
        $finished = microtime(true);

        return [
            'start' => $started,
            'finish' => $finished,
            'duration' => $finished - $started,
            'processing' => $finished - $started,
            'date_start' => date('c', (int) $started),
            'date_finish' => date('c', (int) $finished),
            'operating_reset_at' => (int) $finished + 600,
            'operating' => 0.0,
        ];
    }
}
