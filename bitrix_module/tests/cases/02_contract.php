<?php

// Promises: the kernel stubs have the signatures that protocol.md section 1 and kernel.md name.
// Leans on: reflection.
// Must never: test the stubs' insides.

declare(strict_types=1);


use Bitrelay\Tests\Expect;

$signature = static function (string $class, string $method): string {
    $parameters = array_map(static function (ReflectionParameter $p): string {
        return ($p->hasType() ? $p->getType() . ' ' : '') . ($p->isPassedByReference() ? '&' : '') . '$' . $p->getName()
            . ($p->isDefaultValueAvailable() ? ' = ' . json_encode($p->getDefaultValue()) : '');
    }, (new ReflectionMethod($class, $method))->getParameters());
    return $method . '(' . implode(', ', $parameters) . ')';
};
$promised = [
    'Bitrix\Rest\Event\ProviderInterface' => ['send(array $queryData)'],
    'Bitrix\Rest\AuthStorageInterface' => ['store(array $authResult)', 'rewrite(array $authResult)', 'restore($accessToken)'],
    'Bitrix\Rest\AuthProviderInterface' => ['authorizeClient($clientId, $userId, $state = "")', 'get($clientId, $scope, $additionalParams, $userId)'],
    'Bitrix\Rest\OAuth\Auth' => ['onRestCheckAuth(array $query, $scope, &$res)', 'setStorage(Bitrix\Rest\AuthStorageInterface $storage)', 'check($accessToken)'],
    'Bitrix\Rest\Event\Sender' => ['setProvider(Bitrix\Rest\Event\ProviderInterface $provider)', 'call($handlersList)'],
    'Bitrix\Rest\Application' => ['setAuthProvider(Bitrix\Rest\AuthProviderInterface $authProvider)'],
    'Bitrix\Main\EventManager' => [
        'registerEventHandler($fromModuleId, $eventType, $toModuleId, $toClass = "", $toMethod = "", $sort = 100, $toPath = "", $toMethodArg = [])',
        'registerEventHandlerCompatible($fromModuleId, $eventType, $toModuleId, $toClass = "", $toMethod = "", $sort = 100, $toPath = "", $toMethodArg = [])',
        'unRegisterEventHandler($fromModuleId, $eventType, $toModuleId, $toClass = "", $toMethod = "", $toPath = "", $toMethodArg = [])',
    ],
    'CAgent' => ['AddAgent($name, $module = "", $period = "N", $interval = 86400, $datecheck = "", $active = "Y", $next_exec = "", $sort = 100, $user_id = false, $existError = true)'],
    'Bitrix\Main\Application' => ['addBackgroundJob(callable $job, array $args = [], $priority = 100)'],
    'Bitrix\Main\Config\Option' => ['get($moduleId, $name, $default = "", $siteId = false)'],
    'Bitrix\Main\DB\Connection' => ['lock($name, $timeout = 0)'],
];
$tests = [];
foreach ($promised as $class => $methods) {
    $tests[$class . ' has its signatures'] = static function () use ($class, $methods, $signature): void {
        defined('BITRIXREST_URL') || define('BITRIXREST_URL', 'http://127.0.0.1');
        defined('BITRIX_OAUTH_URL') || define('BITRIX_OAUTH_URL', 'http://127.0.0.1');
        foreach ($methods as $method) {
            Expect::same($method, $signature($class, substr($method, 0, (int)strpos($method, '('))));
        }
    };
}
$tests['the module implements the interfaces it is given to'] = static function () use ($signature): void {
    Expect::true(is_subclass_of(Bitrelay\Connector\Outbox\OutboxProvider::class, Bitrix\Rest\Event\ProviderInterface::class), 'provider');
    Expect::true(is_subclass_of(Bitrelay\Connector\Token\SealedStorage::class, Bitrix\Rest\AuthStorageInterface::class), 'storage');
    Expect::true(is_subclass_of(Bitrelay\Connector\Relay\RelayAuthProvider::class, Bitrix\Rest\OAuth\Provider::class), 'auth provider');
    Expect::same('onRestCheckAuth(array $query, mixed $scope, mixed &$res)', $signature(Bitrelay\Connector\EventHandlers::class, 'onRestCheckAuth'));
};
return $tests;
