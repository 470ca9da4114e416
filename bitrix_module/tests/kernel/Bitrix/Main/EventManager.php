<?php

// Promises: registered handlers in b_module_to_module, called in the order of their sort.
// Leans on: the database; an identity leaves the sort out.
// Must never: order handlers of one sort in a way a module could rely on.

declare(strict_types=1);


namespace Bitrix\Main;

class EventManager
{
    private static ?self $instance = null;

    public static function getInstance()
    {
        return self::$instance ??= new self();
    }

    public function registerEventHandler($fromModuleId, $eventType, $toModuleId, $toClass = '', $toMethod = '', $sort = 100, $toPath = '', $toMethodArg = [])
    {
        $this->register(2, $fromModuleId, $eventType, $toModuleId, $toClass, $toMethod, $sort);
    }

    public function registerEventHandlerCompatible($fromModuleId, $eventType, $toModuleId, $toClass = '', $toMethod = '', $sort = 100, $toPath = '', $toMethodArg = [])
    {
        $this->register(1, $fromModuleId, $eventType, $toModuleId, $toClass, $toMethod, $sort);
    }

    public function unRegisterEventHandler($fromModuleId, $eventType, $toModuleId, $toClass = '', $toMethod = '', $toPath = '', $toMethodArg = [])
    {
        Application::getConnection()->queryExecute('DELETE FROM b_module_to_module WHERE ' . $this->identity(
            [$fromModuleId, $eventType, $toModuleId, $toClass, $toMethod]
        ));
    }

    public function findEventHandlers($eventModuleId, $eventType, ?array $filter = null)
    {
        $helper = Application::getConnection()->getSqlHelper();
        return Application::getConnection()->query(
            "SELECT * FROM b_module_to_module WHERE FROM_MODULE_ID = '" . $helper->forSql($eventModuleId)
            . "' AND LOWER(MESSAGE_ID) = '" . $helper->forSql(strtolower($eventType)) . "' ORDER BY SORT, ID DESC"
        )->fetchAll();
    }

    public function send(Event $event)
    {
        foreach ($this->findEventHandlers($event->getModuleId(), $event->getEventType()) as $handler) {
            $arguments = (int)$handler['VERSION'] === 2 ? [$event] : array_values($event->getParameters());
            $result = self::call($handler, $arguments);
            if ($result instanceof EventResult) {
                $event->addResult($result);
            }
        }
    }

    /** @param array<string, mixed> $handler */
    public static function call(array $handler, array $arguments): mixed
    {
        if (!Loader::includeModule($handler['TO_MODULE_ID'])) {
            return null;
        }
        $callable = [$handler['TO_CLASS'], $handler['TO_METHOD']];
        return class_exists($handler['TO_CLASS']) ? $callable(...$arguments) : null;
    }

    private function register(int $version, string $from, string $event, string $to, string $class, string $method, mixed $sort): void
    {
        $connection = Application::getConnection();
        $names = [$from, $event, $to, $class, $method];
        if ($connection->query('SELECT ID FROM b_module_to_module WHERE ' . $this->identity($names))->fetch() !== false) {
            return;
        }
        $quoted = array_map($connection->getSqlHelper()->convertToDbString(...), $names);
        $connection->queryExecute(
            'INSERT INTO b_module_to_module (FROM_MODULE_ID, MESSAGE_ID, TO_MODULE_ID, TO_CLASS, TO_METHOD, SORT, VERSION) VALUES ('
            . implode(', ', $quoted) . ', ' . (int)$sort . ', ' . $version . ')'
        );
    }

    /** @param list<string> $names */
    private function identity(array $names): string
    {
        $columns = ['FROM_MODULE_ID', 'MESSAGE_ID', 'TO_MODULE_ID', 'TO_CLASS', 'TO_METHOD'];
        $helper = Application::getConnection()->getSqlHelper();
        return implode(' AND ', array_map(
            static fn (string $column, string $name): string => $column . ' = ' . $helper->convertToDbString($name),
            $columns,
            $names
        ));
    }
}
